// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

// policyRecord is how a generation rests: where its file is, beside what is shown of it.
type policyRecord struct {
	management.Policy
	File store.Blob `json:"file"`
}

// AddPolicy gives the next generation of a cluster to what seal makes of that number, and keeps it. seal may be called again with another number, if
// somebody else was faster. The error wraps management.ErrNumbersUnsure while none may be given.
func (r *Records) AddPolicy(ctx context.Context, by management.Actor, cluster string, seal func(generation uint64) (*policy.Sealed, error)) (management.Policy, error) {
	for {
		c, err := r.Cluster(ctx, cluster)
		if err == nil {
			err = sure(c)
		}
		if err != nil {
			return management.Policy{}, err
		}
		sealed, err := seal(c.Numbers.Generation + 1)
		if err != nil {
			return management.Policy{}, err
		}
		p, err := r.addPolicy(ctx, by, c, sealed)
		if !errors.Is(err, errTaken) {
			return p, err
		}
	}
}

// errTaken: another policy got the number meanwhile.
var errTaken = errors.New("the number is taken")

func (r *Records) addPolicy(ctx context.Context, by management.Actor, c management.Cluster, sealed *policy.Sealed) (management.Policy, error) {
	h := sealed.Head()
	if h.Cluster != c.ID || h.Generation != c.Numbers.Generation+1 {
		return management.Policy{}, fmt.Errorf("cluster %s: a bundle for cluster %d, generation %d: %w: it is to be for %d, %d", c.Name, h.Cluster, h.Generation,
			management.ErrValue, c.ID, c.Numbers.Generation+1)
	}
	file := sealed.Encode()
	blob, last, err := store.PutBlob(ctx, r.store, file)
	if err != nil {
		return management.Policy{}, err
	}
	rec := policyRecord{management.PolicyOf(c.Name, sealed, len(file)), blob}
	err = r.change(ctx, by, func(tx store.Tx, _ int64) (management.Event, error) {
		var none management.Event
		c, err := readCluster(tx, c.Name)
		if err == nil {
			err = sure(c)
		}
		if err != nil {
			return none, err
		}
		if c.Numbers.Generation+1 != rec.Generation {
			return none, errTaken
		}
		c.Numbers.Generation = rec.Generation
		if err := writeCluster(tx, c); err != nil {
			return none, err
		}
		e := management.Event{Action: "policy.add", Cluster: c.Name, Object: strconv.FormatUint(rec.Generation, 10), Detail: map[string]string{
			"digest": rec.Digest.String(), "author": rec.Author, "comment": rec.Comment, "size": strconv.Itoa(rec.Size)}}
		if rec.Origin != 0 {
			e.Detail["origin"] = strconv.FormatUint(rec.Origin, 10)
		}
		return e, errors.Join(write(tx, policyKey(c.Name, rec.Generation), rec), last(tx))
	})
	return rec.Policy, err
}

// Policy reads one generation.
func (r *Records) Policy(ctx context.Context, cluster string, generation uint64) (management.Policy, error) {
	rec, err := one[policyRecord](ctx, r, policyKey(cluster, generation), policyName(cluster, generation))
	return rec.Policy, err
}

func policyName(cluster string, generation uint64) string {
	return fmt.Sprintf("cluster %s, generation %d", cluster, generation)
}

// Policies reads all generations of a cluster, the oldest first.
func (r *Records) Policies(ctx context.Context, cluster string) ([]management.Policy, error) {
	if _, err := r.Cluster(ctx, cluster); err != nil {
		return nil, err
	}
	recs, err := list[policyRecord](ctx, r, "policy/"+cluster+"/")
	all := make([]management.Policy, 0, len(recs))
	for _, rec := range recs {
		all = append(all, rec.Policy)
	}
	return all, err
}

// PolicyFile reads one generation with its file, which is as it was added: the error wraps store.ErrDamaged if it is not.
func (r *Records) PolicyFile(ctx context.Context, cluster string, generation uint64) (p management.Policy, file []byte, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		rec, err := read[policyRecord](s, policyKey(cluster, generation), policyName(cluster, generation))
		if err != nil {
			return err
		}
		p = rec.Policy
		file, err = rec.File.Read(s)
		return err
	})
	return p, file, err
}
