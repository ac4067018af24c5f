// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"

	"github.com/holdfast-project/holdfast/policy/bootfilter"
)

// bootTries is how often the boot filter is loaded anew, since somebody else wrote between its load and its reading.
const bootTries = 5

// LoadBootFilter loads the filter that holds while no policy is in force, in the place of an earlier one. If others change the ruleset each time
// before it is read, it is loaded, and HoldsBootFilter does not vouch for it.
func (k *Kernel) LoadBootFilter(ctx context.Context, f *bootfilter.Filter) error {
	k.boot = nil
	c, err := dial(k.options.Namespace)
	if err != nil {
		return err
	}
	defer c.Close()
	for range bootTries {
		before, err := c.transaction()
		if err != nil {
			return err
		}
		if _, err := k.nft(ctx, f.Text(), "-f", "-"); err != nil {
			return fmt.Errorf("load the boot filter: %w", err)
		}
		now, err := c.print([]table{bootTable}, nil)
		if errors.Is(err, errBusy) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the boot filter is loaded, and cannot be read: %w", err)
		}
		if now.transaction == before+1 {
			k.boot = &now
			break
		}
	}
	return nil
}

// bootTable is the table of the boot filter.
var bootTable = func() table {
	family, name, _ := strings.Cut(bootfilter.Table, " ")
	return table{family: families[family], name: name}
}()

// HoldsBootFilter reports whether the boot filter is as this process loaded it last: its table, awake, with all its chains and rules.
func (k *Kernel) HoldsBootFilter() (bool, error) {
	if k.boot == nil {
		return false, nil
	}
	c, err := dial(k.options.Namespace)
	if err != nil {
		return false, err
	}
	defer c.Close()
	if now, err := c.transaction(); err != nil || now == k.boot.transaction {
		return err == nil, err
	}
	now, err := c.print([]table{bootTable}, nil)
	if errors.Is(err, errBusy) {
		return true, nil // the next look tells
	}
	if now.sum == k.boot.sum {
		k.boot.transaction = now.transaction
	}
	return now.sum == k.boot.sum, err
}

// RemoveBootFilter takes it away; one that is not there is away already.
func (k *Kernel) RemoveBootFilter(context.Context) error {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return err
	}
	defer c.Close()
	t, ok, err := c.bootFilter()
	if err != nil || !ok {
		return err
	}
	k.boot = nil
	if err := c.batch([]netlink.Message{remove(t)}); err != nil {
		return fmt.Errorf("nftables: remove the boot filter: %w", err)
	}
	return nil
}

// RemoveBootFilterAfter takes it away and says what is known of a ruleset then of which n was known.
func (k *Kernel) RemoveBootFilterAfter(ctx context.Context, n Known) (Known, error) {
	had, err := k.HasBootFilter()
	if err != nil {
		return Known{}, err
	}
	if err := k.RemoveBootFilter(ctx); err != nil {
		return Known{}, err
	}
	if had && n.until != 0 {
		n.until++ // one of somebody else makes it another number
	}
	return n, nil
}

// HasBootFilter reports whether it is loaded.
func (k *Kernel) HasBootFilter() (bool, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return false, err
	}
	defer c.Close()
	_, ok, err := c.bootFilter()
	return ok, err
}

func (c conn) bootFilter() (table, bool, error) {
	all, err := c.tables()
	for _, t := range all {
		if familyName(t.family)+" "+t.name == bootfilter.Table {
			return t, true, err
		}
	}
	return table{}, false, err
}
