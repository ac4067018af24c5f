// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// AddCluster adds a cluster of which Name, ID, Members and Config are given. The error wraps ErrExists if its name or id is taken.
func (r *Records) AddCluster(ctx context.Context, by management.Actor, c management.Cluster) (management.Cluster, error) {
	if err := c.Validate(); err != nil {
		return c, err
	}
	var added management.Cluster
	err := r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		if _, err := readCluster(tx, c.Name); err == nil {
			return none, fmt.Errorf("cluster %s: %w: change it instead", c.Name, ErrExists)
		} else if !errors.Is(err, ErrNone) {
			return none, err
		}
		other, err := readOr[string](tx, clusterIDKey(c.ID), "cluster id")
		if err != nil {
			return none, err
		}
		if other != "" {
			return none, fmt.Errorf("cluster %s: id %d is that of cluster %s: %w: give it another in its cluster.yaml, since one key signs for both", c.Name, c.ID, other, ErrExists)
		}
		epoch, err := readEpoch(tx)
		if err != nil {
			return none, err
		}
		added = management.Cluster{Name: c.Name, ID: c.ID, Members: c.Members, Config: c.Config, Added: now, Changed: now,
			Numbers: management.Numbers{Epoch: epoch}}
		if err := write(tx, clusterIDKey(c.ID), c.Name); err != nil {
			return none, err
		}
		return management.Event{Action: "cluster.add", Cluster: c.Name, Object: c.Name,
			Detail: map[string]string{"id": strconv.Itoa(int(c.ID)), "members": strings.Join(c.Members, " ")}}, writeCluster(tx, added)
	})
	return added, err
}

// ChangeCluster replaces a cluster's cluster.yaml and its list of members. Members that are no longer named lose their access with it.
func (r *Records) ChangeCluster(ctx context.Context, by management.Actor, c management.Cluster) (after management.Cluster, err error) {
	if err := c.Validate(); err != nil {
		return c, err
	}
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		after, err = readCluster(tx, c.Name)
		switch {
		case err != nil:
			return none, err
		case after.ID != c.ID:
			return none, fmt.Errorf("cluster %s: id %d in place of %d: %w: policies are signed for an id; add a cluster with another name instead", c.Name, c.ID, after.ID, management.ErrValue)
		case slices.Equal(after.Config, c.Config) && slices.Equal(after.Members, c.Members):
			return none, nil
		}
		for _, name := range after.Members {
			if slices.Contains(c.Members, name) {
				continue
			}
			if err := dismiss(tx, by, c.Name, name, now); err != nil {
				return none, err
			}
		}
		after.Config, after.Members, after.Changed = c.Config, c.Members, now
		after.Numbers, _ = after.Numbers.Settled(after.Members)
		return management.Event{Action: "cluster.change", Cluster: c.Name, Object: c.Name,
			Detail: map[string]string{"members": strings.Join(c.Members, " ")}}, writeCluster(tx, after)
	})
	return after, err
}

// dismiss takes back what a member has that is no longer named: if it is named again it enrols again.
func dismiss(tx store.Tx, by management.Actor, cluster, name string, now int64) error {
	_, m, err := readMember(tx, cluster, name)
	if err != nil {
		return err
	}
	if err := errors.Join(revokeAll(tx, m.Certificates, by, "taken out of the cluster", now), revokeUnused(tx, m.Token, now)); err != nil {
		return err
	}
	m.Certificates, m.Token = nil, ""
	return writeMember(tx, m)
}

// Cluster reads one.
func (r *Records) Cluster(ctx context.Context, name string) (c management.Cluster, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		c, err = readCluster(s, name)
		return err
	})
	return c, err
}

// Clusters reads all, by name.
func (r *Records) Clusters(ctx context.Context) (all []management.Cluster, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		epoch, err := readEpoch(s)
		if err != nil {
			return err
		}
		all, err = readAll[management.Cluster](s, "cluster/")
		for i := range all {
			all[i].Numbers = all[i].Numbers.At(epoch)
		}
		return err
	})
	return all, err
}

// Member reads what management knows of a member; one that never enrolled has the zero value but for its names.
func (r *Records) Member(ctx context.Context, cluster, name string) (m management.Member, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		_, m, err = readMember(s, cluster, name)
		return err
	})
	return m, err
}

// readCluster reads a cluster as it is in a store that was restored as often as this one.
func readCluster(s store.Reader, name string) (management.Cluster, error) {
	c, err := read[management.Cluster](s, clusterKey(name), "cluster "+name)
	if err != nil {
		return c, err
	}
	epoch, err := readEpoch(s)
	c.Numbers = c.Numbers.At(epoch)
	return c, err
}

func writeCluster(tx store.Tx, c management.Cluster) error { return write(tx, clusterKey(c.Name), c) }

func readMember(s store.Reader, cluster, name string) (management.Cluster, management.Member, error) {
	c, err := readCluster(s, cluster)
	if err != nil {
		return c, management.Member{}, err
	}
	if !c.Has(name) {
		return c, management.Member{}, fmt.Errorf("%s: %w %s, which has %s", name, ErrMember, cluster, strings.Join(c.Members, ", "))
	}
	m, err := readOr[management.Member](s, memberKey(cluster, name), "member "+name)
	m.Cluster, m.Name = cluster, name
	return c, m, err
}

func writeMember(tx store.Tx, m management.Member) error {
	return write(tx, memberKey(m.Cluster, m.Name), m)
}
