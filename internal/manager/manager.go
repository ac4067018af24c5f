// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
)

// Options are what a manager is made from.
type Options struct {
	URLs []string // of management's servers, https; any of them will do
	Dir  string   // where Enroll put the identity
	// Cluster and Member are what the certificate must be for; "": not looked at.
	Cluster, Member string
	Log             *slog.Logger // nil: none
	// Times are for tests; zero ones are the defaults.
	Times Times
}

// Times are how long to wait. Zero is the default.
type Times struct {
	First   time.Duration // after the first failure of all servers: 200 ms, then twice as long each time
	Longest time.Duration // at most: 5 s. Each pause is scattered by half
	Look    time.Duration // between two looks for an identity: 1 s
}

func (t Times) filled() Times {
	if t.First <= 0 {
		t.First = 200 * time.Millisecond
	}
	if t.Longest <= 0 {
		t.Longest = 5 * time.Second
	}
	if t.Look <= 0 {
		t.Look = time.Second
	}
	return t
}

// Manager is the way to management. All methods may be called from any goroutine.
type Manager struct {
	o       Options
	run     string // random, of this life
	orders  chan policyplane.Orders
	changed chan struct{} // the report has news

	mu     sync.Mutex
	report *policyplane.Report
	seq    uint64    // of the report: one more with each
	now    *client   // nil: not enrolled
	file   time.Time // when the identity was written that was read last
	good   int       // index of the server that answered last
	ok     bool
	why    string
	fresh  bool // the next report is to go over a new connection
}

var _ policyplane.Management = (*Manager)(nil)

// Open makes a manager. That this member is not enrolled is no error: Run waits for the identity.
func Open(o Options) (*Manager, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("manager: no management server: name its address, https://HOST:PORT")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Times = o.Times.filled()
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	m := &Manager{
		o: o, run: hex.EncodeToString(id), orders: make(chan policyplane.Orders, 1), changed: make(chan struct{}, 1),
		why: "not asked yet",
	}
	m.load()
	return m, nil
}

// Report implements policyplane.Management.
func (m *Manager) Report(r policyplane.Report) {
	m.mu.Lock()
	old := m.report
	m.report = &r
	m.seq++
	news := old == nil || urgent(*old, r)
	m.fresh = m.fresh || old != nil && old.InForce != r.InForce
	m.mu.Unlock()
	if !news {
		return
	}
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// urgent reports whether management is to hear of a change at once.
func urgent(a, b policyplane.Report) bool {
	return a.Attempt != b.Attempt || a.InForce != b.InForce || a.Status != b.Status || a.Member.State != b.Member.State
}

// Orders implements policyplane.Management.
func (m *Manager) Orders() <-chan policyplane.Orders { return m.orders }

// Reachable implements policyplane.Management.
func (m *Manager) Reachable() (ok bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ok, m.why
}

// Identity is whom management knows this member as; false: it is not enrolled.
func (m *Manager) Identity() (Identity, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		return Identity{}, false
	}
	return m.now.creds.Identity, true
}

// Fetch implements policyplane.Management: it asks one server after another.
func (m *Manager) Fetch(ctx context.Context, what policy.Offer) ([]byte, error) {
	c, good := m.client()
	if c == nil {
		return nil, notEnrolled()
	}
	var all []error
	for i := range m.o.URLs {
		url := m.o.URLs[(good+i)%len(m.o.URLs)]
		b, err := c.get(ctx, url, fmt.Sprintf("/v1/member/policies/%d/%s", what.Generation, what.Digest), policy.MaxFile)
		if err == nil {
			return b, nil
		}
		if all = append(all, classify(url, err, time.Now())); ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(all...)
}

func notEnrolled() *Error { return classify("", os.ErrNotExist, time.Time{}) }

// client is the way there now, and which server is the first to be asked.
func (m *Manager) client() (*client, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, m.good
}

// load reads the identity, if there is another one than before: somebody has enrolled this member again.
func (m *Manager) load() {
	info, err := os.Stat(filepath.Join(m.o.Dir, identityFile))
	m.mu.Lock()
	same := err == nil && m.now != nil && info.ModTime().Equal(m.file)
	m.mu.Unlock()
	if same {
		return
	}
	creds, err := readCredentials(m.o.Dir)
	if err == nil && (m.o.Cluster != "" && m.o.Cluster != creds.Cluster || m.o.Member != "" && m.o.Member != creds.Member) {
		err = fmt.Errorf("%s: it is for member %s of cluster %s, and this is %s of %s: enrol again", filepath.Join(m.o.Dir, identityFile), creds.Member, creds.Cluster, m.o.Member, m.o.Cluster)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && info != nil { // one that could not be read may be the next time: a right mode gives it no new date
		m.file = info.ModTime()
	}
	switch {
	case err != nil && m.now == nil:
		m.ok, m.why = false, classify("", err, time.Now()).Error()
	case err != nil: // what is in memory is as good as it was
	case m.now == nil || creds.Serial != m.now.creds.Serial:
		m.use(creds)
	}
}

// use goes on with other credentials, over new connections. The caller holds mu.
func (m *Manager) use(creds *credentials) {
	c, err := newClient(creds)
	if err != nil { // it was read as what it is
		m.ok, m.why = false, err.Error()
		return
	}
	if m.now != nil {
		m.now.close()
	}
	m.now = c
}

// send is the report as it is to be sent now, and how.
func (m *Manager) send() (r api.Report, c *client, good int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil || m.report == nil {
		return r, nil, 0, false
	}
	if m.fresh {
		m.fresh = false
		m.use(m.now.creds)
	}
	r = wire(*m.report)
	r.Run, r.Seq = m.run, m.seq
	return r, m.now, m.good, true
}

// answered notes how a server answered.
func (m *Manager) answered(good int, err *Error) {
	m.mu.Lock()
	was, before := m.ok, m.why
	if m.ok, m.why = err == nil, ""; err != nil {
		m.why = err.Error()
	} else {
		m.good = good
	}
	now, why := m.ok, m.why
	m.mu.Unlock()
	switch {
	case now && !was:
		m.o.Log.Info("management answers", "url", m.o.URLs[good])
	case !now && why != before:
		m.o.Log.Warn("management does not answer", "reason", why)
	}
}
