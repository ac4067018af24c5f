// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// plainNFT is what installs are seen against: nft -f and nothing else, in namespaces of its own.
type plainNFT struct {
	dir    string
	places []*netns.NS
}

// replaceAll precedes a ruleset so that it takes the place of what is loaded, in the same transaction.
const replaceAll = "table inet filter\ndelete table inet filter\n"

func openPlain(cfg PolicyConfig) (*plainNFT, error) {
	p := &plainNFT{dir: cfg.Dir}
	for i := range cfg.Members {
		ns, err := netns.New(fmt.Sprintf("nft%d", i+1))
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.places = append(p.places, ns)
	}
	return p, nil
}

func (p *plainNFT) close() error {
	var errs []error
	for _, ns := range p.places {
		errs = append(errs, ns.Close())
	}
	return errors.Join(errs...)
}

// measure loads the text in all places at once, and then in one of them alone.
func (p *plainNFT) measure(ctx context.Context, text string) (Measure, error) {
	file := filepath.Join(p.dir, "plain.nft")
	if err := os.WriteFile(file, []byte(replaceAll+text), 0o600); err != nil {
		return Measure{}, err
	}
	all, err := load(ctx, file, p.places...)
	if err != nil {
		return Measure{}, err
	}
	one, err := load(ctx, file, p.places[0])
	return Measure{Values: map[string]float64{"seconds": all.Seconds(), "one_seconds": one.Seconds()}}, err
}

// load loads a file in all places at the same time and returns how long it took until the last was done.
func load(ctx context.Context, file string, places ...*netns.NS) (time.Duration, error) {
	began := time.Now()
	var g errgroup.Group
	for _, ns := range places {
		g.Go(func() error {
			cmd := exec.CommandContext(ctx, "nft", "-f", file)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := netns.Start(netns.Place{Net: ns}, cmd)
			if err == nil {
				err = cmd.Wait()
			}
			if err != nil {
				return fmt.Errorf("nft -f in %s: %w: %.500s", ns.Name(), err, bytes.TrimSpace(out.Bytes()))
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(began), err
}
