// SPDX-License-Identifier: Apache-2.0

package config

// SyncServices reads synchronisation rules by service that are not in a cluster.yaml but in a policy: sync.services in other words, with the
// same checks. name is used in messages; Problems takes the error apart.
func SyncServices(name string, rules map[string]string) ([]SyncService, error) {
	b := &builder{problems: &problems{file: name}, c: &Cluster{}}
	raw := make(map[string]scalar, len(rules))
	for service, when := range rules {
		raw[service] = scalar{text: when, path: "sync." + service, set: true}
	}
	all := b.syncServices(raw)
	if err := b.err(); err != nil {
		return nil, err
	}
	return all, nil
}
