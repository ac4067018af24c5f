// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

// Files of a server, in the directory keys of its data: they are in no backup and in no store.
const (
	keysDir       = "keys"
	caKeyFile     = "ca.key"
	policyKeyFile = "policy.key"
	policyPubFile = "policy.pub"
	storeFile     = "store.db"
)

// data is where a server's own files are.
type data struct {
	dir    string
	target string // of the store; "": a file in dir
}

func (d *data) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.dir, "data", "/var/lib/holdfast-mgmt", "directory of the server's keys, and of its store unless --store says otherwise")
	cmd.Flags().StringVar(&d.target, "store", "", "etcd://HOST:PORT[,HOST:PORT...][/PREFIX][?ca=FILE&cert=FILE&key=FILE], for several servers; default a file in --data")
}

func (d *data) key(name string) string { return filepath.Join(d.dir, keysDir, name) }

func (d *data) open(ctx context.Context) (store.Store, error) {
	if d.target == "" {
		return store.Open(ctx, filepath.Join(d.dir, storeFile))
	}
	return store.Open(ctx, d.target)
}

// keys are a server's.
type keys struct {
	authority *pki.Authority
	policy    ed25519.PrivateKey
	public    []byte // PEM of those that members are to trust
}

// fingerprint names the installation that the keys are of.
func (k keys) fingerprint() string { return api.Fingerprint(k.authority.Certificate()) }

func (d *data) readKeys() (k keys, err error) {
	read := func(name string) (b []byte) {
		var e error
		if b, e = readBounded(d.key(name), 64<<10); e != nil {
			err = errors.Join(err, e)
		}
		return b
	}
	ca, caKey, private := read(caFile), read(caKeyFile), read(policyKeyFile)
	k.public = read(policyPubFile)
	if errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("%w; make them with \"holdfast-mgmt init --data %s\", or copy %s of another server of the same store", err, d.dir, keysDir)
	}
	if err != nil {
		return k, err
	}
	if k.authority, err = pki.LoadAuthority(ca, caKey); err != nil {
		return k, fmt.Errorf("%s: %w", filepath.Join(d.dir, keysDir), err)
	}
	if k.policy, err = policy.ParsePrivateKey(private); err != nil {
		return k, fmt.Errorf("%s: %w", d.key(policyKeyFile), err)
	}
	if _, err = policy.ParsePublicKeys(k.public); err != nil {
		return k, fmt.Errorf("%s: %w", d.key(policyPubFile), err)
	}
	return k, nil
}

// makeKeys writes new ones.
func (d *data) makeKeys(now time.Time) error {
	if _, err := os.Stat(d.key(caKeyFile)); err == nil {
		return fmt.Errorf("%s has keys already, and the store is empty: restore a backup of that server; or, if nobody was ever certified with them, remove %s and try again",
			d.dir, filepath.Join(d.dir, keysDir))
	}
	if err := os.MkdirAll(filepath.Join(d.dir, keysDir), 0o700); err != nil {
		return err
	}
	ca, caKey, err := pki.NewAuthority(rand.Reader, "Holdfast management", now)
	if err != nil {
		return err
	}
	private, public, err := policy.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
		mode fs.FileMode
	}{{policyKeyFile, private, 0o600}, {policyPubFile, public, 0o644}, {caFile, ca, 0o644}, {caKeyFile, caKey, 0o600}} {
		if err := atomicfile.Write(d.key(f.name), f.text, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// initialised is the answer of init as JSON.
type initialised struct {
	Data        string `json:"data"`
	CA          string `json:"ca"`
	Fingerprint string `json:"fingerprint"` // of the authority
	PolicyKeys  string `json:"policy_keys"` // for members' policy.keys
	PolicyKey   string `json:"policy_key"`  // fingerprint
	Admin       string `json:"admin"`
	Profile     string `json:"profile"`
}

func (a *app) initCommand() *cobra.Command {
	var d data
	admin := ""
	cmd := &cobra.Command{Use: "init", Short: "Make a server's authority, its signing key, its store, and the first administrator", Args: arguments(cobra.NoArgs),
		Long: "init makes DATA/keys (the authority that certifies servers, members and people, and the key that signs policies), the store, and the profile\n" +
			"of the first administrator. Copy DATA/keys to a safe place: no backup has them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			servers := a.servers
			if servers == nil {
				servers = []string{"https://localhost:9443"}
			}
			profile := filepath.Join(d.dir, "admin")
			if cmd.Flags().Changed("profile") {
				profile = a.profile
			}
			v, err := a.initialise(cmd.Context(), d, admin, profile, servers)
			if err != nil {
				return err
			}
			return a.print(v, func(p *page) {
				p.line("authority     %s, fingerprint %s", v.CA, v.Fingerprint)
				p.line("policy key    %s, fingerprint %s; copy it to all members as policy.keys", v.PolicyKeys, v.PolicyKey)
				p.line("administrator %s, profile %s", v.Admin, v.Profile)
				p.line("keep a copy of %s in a safe place: no backup has it", filepath.Join(d.dir, keysDir))
			})
		}}
	d.flags(cmd)
	cmd.Flags().StringVar(&admin, "admin", "admin", "name of the first administrator")
	return cmd
}

func (a *app) initialise(ctx context.Context, d data, admin, profile string, servers []string) (v initialised, err error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return v, err
	}
	s, err := d.open(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := records.New(s, records.Options{Now: a.now})
	if users, err := r.Users(ctx); err != nil || len(users) > 0 {
		return v, errors.Join(err, fmt.Errorf("there is a management in this store already: serve it with its keys (%s; of an etcd, those of the server that was initialised), or choose another --data or --store",
			filepath.Join(d.dir, keysDir)))
	}
	if err := d.makeKeys(a.now()); err != nil {
		return v, err
	}
	k, err := d.readKeys()
	if err != nil {
		return v, err
	}
	if err := r.Claim(ctx, management.Actor{Kind: management.ByHost}, k.fingerprint()); err != nil {
		return v, err
	}
	e, key, err := a.firstAdmin(ctx, r, k, admin)
	if err != nil {
		return v, err
	}
	public, err := policy.ParsePublicKeys(k.public)
	if err != nil {
		return v, err
	}
	v = initialised{Data: d.dir, CA: d.key(caFile), Fingerprint: api.Fingerprint(k.authority.Certificate()), PolicyKeys: d.key(policyPubFile),
		PolicyKey: policy.Fingerprint(public[0]), Admin: admin, Profile: profile}
	return v, writeProfile(profile, servers, key, e)
}

// adminLife is how long the first administrator's certificate and token are good.
const adminLife = 365 * 24 * time.Hour

// firstAdmin makes a person who needs nobody else to become one.
func (a *app) firstAdmin(ctx context.Context, r *records.Records, k keys, name string) (e api.Enrolment, key []byte, err error) {
	by := management.Actor{Kind: management.ByHost}
	if _, err := r.AddUser(ctx, by, name, management.Admin); err != nil {
		return e, nil, err
	}
	key, csr, err := pki.NewRequest(rand.Reader)
	if err != nil {
		return e, nil, err
	}
	pub, err := pki.ParseRequest(csr)
	if err != nil {
		return e, nil, err
	}
	whose := pki.Identity{Kind: management.PersonCertificate, User: name}
	der, shown, err := k.authority.Issue(rand.Reader, pub, whose, nil, a.now(), adminLife)
	if err != nil {
		return e, nil, err
	}
	if err := r.AddCertificate(ctx, by, shown.Record()); err != nil {
		return e, nil, err
	}
	e = api.Enrolment{Certificate: string(pki.EncodeCertificate(der)), CA: string(pki.EncodeCertificate(k.authority.Certificate()))}
	e.Token, _, err = r.NewToken(ctx, by, management.Token{Kind: management.PersonToken, User: name}, adminLife)
	return e, key, err
}

// localToken makes a person's one-time token without a server.
func (a *app) localToken(ctx context.Context, d data, name string, life time.Duration) (err error) {
	k, err := d.readKeys()
	if err != nil {
		return err
	}
	s, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	text, made, err := records.New(s, records.Options{Now: a.now}).NewToken(ctx, management.Actor{Kind: management.ByHost},
		management.Token{Kind: management.PersonEnrolment, User: name}, life)
	if err != nil {
		return err
	}
	g := api.Grant{Token: text, Fingerprint: api.Fingerprint(k.authority.Certificate())}
	v := api.TokenGranted{ID: made.ID, Grant: g.String(), For: name, Expires: time.Unix(0, made.Expires).UTC()}
	return a.print(v, func(p *page) { p.line("%s", v.Grant) })
}

func (a *app) restoreCommand() *cobra.Command {
	var d data
	cmd := &cobra.Command{Use: "restore FILE", Short: "Fill an empty store with a backup; no server may be running on it", Args: arguments(cobra.ExactArgs(1)),
		Long: "restore needs DATA/keys of the server that made the backup. Afterwards no policy is numbered before each member of its cluster has reported\n" +
			"what it knows, or \"cluster numbers\" says it.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			k, err := d.readKeys()
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			s, err := d.open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			if err := records.New(s, records.Options{Now: a.now}).Restore(cmd.Context(), management.Actor{Kind: management.ByHost}, f, k.fingerprint()); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.done("restored %s; start the server, and let all members report before you install anything", args[0])
		}}
	d.flags(cmd)
	return cmd
}
