// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/coordinator"
)

func at(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// when is a time that may never have been.
func when(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	t := at(ns)
	return &t
}

func (c *call) clusters() (any, error) {
	all, err := c.server.o.Records.Clusters(c.context())
	if err != nil {
		return nil, err
	}
	out := make([]api.Cluster, 0, len(all))
	for _, one := range all {
		v, err := c.clusterView(one)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (c *call) cluster() (any, error) {
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	v, err := c.clusterView(one)
	v.Config = string(one.Config)
	return v, err
}

func (c *call) clusterView(one management.Cluster) (api.Cluster, error) {
	v := api.Cluster{
		Name: one.Name, ID: one.ID, Members: one.Members, Current: offer(one.Current), Previous: offer(one.Previous), Attempt: one.Attempt,
		Unsure: one.Numbers.Missing(one.Members), Added: at(one.Added), Changed: when(one.Changed),
	}
	status, err := c.server.o.Coordinator.Members(c.context(), one.Name)
	if err != nil {
		return v, err
	}
	var not []string
	for _, m := range status {
		if m.There {
			v.Here++
		}
		if what := complaint(one, m); what != "" {
			not = append(not, m.Name+" "+what)
		}
	}
	if v.Unsure != nil {
		not = append(not, "numbers are unsure")
	}
	v.Status = "ok"
	if not != nil {
		v.Status = strings.Join(not, ", ")
	}
	return v, nil
}

// complaint is what is wrong with a member, in a few words.
func complaint(one management.Cluster, m coordinator.Status) string {
	switch {
	case m.Last.IsZero():
		return "has never reported here"
	case !m.There:
		return "is silent"
	case !one.Current.None() && m.Report.InForce != offer(one.Current):
		return fmt.Sprintf("has generation %d", m.Report.InForce.Generation)
	case m.Report.PolicyStatus != "" && m.Report.PolicyStatus != "ok":
		return "policy is in " + m.Report.PolicyStatus
	case m.Report.Drift != "":
		return "has drifted"
	}
	return ""
}

// readCluster makes a record of cluster.yaml.
func (c *call) readCluster() (management.Cluster, error) {
	var q api.ClusterRequest
	if err := c.body(&q); err != nil {
		return management.Cluster{}, err
	}
	name := filepath.Base(q.File)
	if q.File == "" || !printable(name) || len(name) > api.MaxRunSize {
		name = "cluster.yaml"
	}
	if len(q.Config) > management.MaxConfig {
		return management.Cluster{}, &api.Error{Code: api.CodeTooLarge, What: fmt.Sprintf("%s of %d bytes", name, len(q.Config)), WayOut: fmt.Sprintf("at most %d", management.MaxConfig)}
	}
	parsed, err := config.Parse(name, []byte(q.Config))
	if err != nil {
		return management.Cluster{}, err
	}
	one := management.Cluster{Name: parsed.Name, ID: parsed.ID, Config: []byte(q.Config)}
	for _, m := range parsed.Members {
		one.Members = append(one.Members, m.Name)
	}
	return one, nil
}

func (c *call) addCluster() (any, error) {
	one, err := c.readCluster()
	if err != nil {
		return nil, err
	}
	if one, err = c.server.o.Records.AddCluster(c.context(), c.actor, one); err != nil {
		return nil, err
	}
	return c.clusterView(one)
}

func (c *call) changeCluster() (any, error) {
	one, err := c.readCluster()
	if err != nil {
		return nil, err
	}
	if one.Name != c.path("cluster") {
		return nil, invalid(fmt.Sprintf("the file is of cluster %s, not of %s", one.Name, c.path("cluster")), "a cluster keeps its name; add the other one")
	}
	if one, err = c.server.o.Records.ChangeCluster(c.context(), c.actor, one); err != nil {
		return nil, err
	}
	return c.clusterView(one)
}

func (c *call) numbers() (any, error) {
	var q api.NumbersRequest
	if err := c.body(&q); err != nil {
		return nil, err
	}
	n, err := c.server.o.Records.NameNumbers(c.context(), c.actor, c.path("cluster"), q.Generation, q.Attempt)
	if err != nil {
		return nil, err
	}
	return api.Done{Done: fmt.Sprintf("the next generation of %s is %d, the next attempt %d", c.path("cluster"), n.Generation+1, n.Attempt+1)}, nil
}

func (c *call) members() (any, error) { return c.memberViews("") }

func (c *call) member() (any, error) {
	all, err := c.memberViews(c.path("member"))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("cluster %s has no member %.64q", c.path("cluster"), c.path("member")), WayOut: "compare its cluster.yaml"}
	}
	return all[0], nil
}

// memberViews are all members, or the one of a name.
func (c *call) memberViews(only string) ([]api.Member, error) {
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	reported, err := c.server.o.Coordinator.Members(c.context(), one.Name)
	if err != nil {
		return nil, err
	}
	status := map[string]coordinator.Status{}
	for _, s := range reported {
		status[s.Name] = s
	}
	all := []api.Member{}
	for _, name := range one.Members {
		if only != "" && name != only {
			continue
		}
		m, err := c.server.o.Records.Member(c.context(), one.Name, name)
		if err != nil {
			return nil, err
		}
		v := api.Member{Cluster: one.Name, Name: name, Enrolled: when(m.Enrolled), Here: status[name].There}
		if n := len(m.Certificates); n > 0 {
			v.Certificate = m.Certificates[n-1]
		}
		if s := status[name]; !s.Last.IsZero() {
			seen := s.Last.UTC()
			v.Seen, v.Report = &seen, &s.Report
		}
		all = append(all, v)
	}
	return all, nil
}
