// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"fmt"

	"github.com/mdlayher/netlink"

	"github.com/holdfast-project/holdfast/policy/bootfilter"
)

// LoadBootFilter loads the filter that holds while no policy is in force, in the place of an earlier one.
func (k *Kernel) LoadBootFilter(ctx context.Context, f *bootfilter.Filter) error {
	if _, err := k.nft(ctx, f.Text(), "-f", "-"); err != nil {
		return fmt.Errorf("load the boot filter: %w", err)
	}
	return nil
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
	if err := c.batch([]netlink.Message{remove(t)}); err != nil {
		return fmt.Errorf("nftables: remove the boot filter: %w", err)
	}
	return nil
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
