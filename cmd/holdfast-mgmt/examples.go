// SPDX-License-Identifier: Apache-2.0

package main

// examples are what each command's --help shows.
var examples = map[string]string{
	"init":    "holdfast-mgmt init --server https://mgmt.example:9443",
	"serve":   "holdfast-mgmt serve --metrics 127.0.0.1:9850",
	"login":   "holdfast-mgmt login --server https://mgmt.example:9443 --token -",
	"renew":   "holdfast-mgmt renew",
	"backup":  "holdfast-mgmt backup /srv/backup/holdfast-$(date +%F)",
	"restore": "holdfast-mgmt restore --data /var/lib/holdfast-mgmt /srv/backup/holdfast-2026-11-22",
	"health":  "holdfast-mgmt health",
	"version": "holdfast-mgmt version",

	"cluster":         "holdfast-mgmt cluster list",
	"cluster add":     "holdfast-mgmt cluster add cluster.yaml",
	"cluster change":  "holdfast-mgmt cluster change cluster.yaml",
	"cluster list":    "holdfast-mgmt cluster list",
	"cluster show":    "holdfast-mgmt cluster show edge",
	"cluster numbers": "holdfast-mgmt cluster numbers edge --generation 60 --attempt 80",

	"member":        "holdfast-mgmt member list --cluster edge",
	"member list":   "holdfast-mgmt member list --cluster edge",
	"member token":  "holdfast-mgmt member token --cluster edge gw-a",
	"member revoke": "holdfast-mgmt member revoke --cluster edge gw-b --why 'stolen'",

	"policy": "holdfast-mgmt policy install edge.nft --cluster edge --comment 'let the office in'",
	"policy install": "holdfast-mgmt policy install edge.nft --cluster edge --comment 'let the office in'\n" +
		"holdfast-mgmt policy install edge.nft --cluster edge --check-only\n" +
		"holdfast-mgmt policy install edge.nft --cluster edge --confirm-within 2m",
	"policy confirm":  "holdfast-mgmt policy confirm --cluster edge",
	"policy cancel":   "holdfast-mgmt policy cancel --cluster edge",
	"policy rollback": "holdfast-mgmt policy rollback --cluster edge\nholdfast-mgmt policy rollback 41 --cluster edge",
	"policy status":   "holdfast-mgmt policy status --cluster edge",
	"policy list":     "holdfast-mgmt policy list --cluster edge",
	"policy show":     "holdfast-mgmt policy show --cluster edge --ruleset",
	"policy diff":     "holdfast-mgmt policy diff 41 42 --cluster edge",
	"policy fetch":    "holdfast-mgmt policy fetch 42 42.policy --cluster edge",

	"user":        "holdfast-mgmt user list",
	"user add":    "holdfast-mgmt user add anna --role operator",
	"user list":   "holdfast-mgmt user list",
	"user role":   "holdfast-mgmt user role anna admin",
	"user token":  "holdfast-mgmt user token anna\nholdfast-mgmt user token anna --data /var/lib/holdfast-mgmt   # on the server, stopped",
	"user remove": "holdfast-mgmt user remove anna",

	"token":              "holdfast-mgmt token list",
	"token list":         "holdfast-mgmt token list",
	"token revoke":       "holdfast-mgmt token revoke 5c41f2",
	"certificate":        "holdfast-mgmt certificate list",
	"certificate list":   "holdfast-mgmt certificate list",
	"certificate revoke": "holdfast-mgmt certificate revoke 3f9a01 --why 'lost laptop'",
	"audit":              "holdfast-mgmt audit show",
	"audit show":         "holdfast-mgmt audit show --limit 20\nholdfast-mgmt audit show --after 1200 -o json",
	"audit verify":       "holdfast-mgmt audit verify\nholdfast-mgmt audit verify --anchor 1200:9c1f...",
}
