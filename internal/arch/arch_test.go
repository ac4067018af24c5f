// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-project/holdfast/"

// pure packages have no clock, socket, goroutine or global, and import the standard library alone, plus what is named here.
var pure = map[string][]string{
	"ccp":              nil,
	"members/gate":     nil,
	"members/liveness": nil,
	"members/device":   nil,
	"members/margin":   nil,
	"dataplane/flow":   nil,
	"dataplane/steer":  nil,
	"members":          {"members/device", "members/gate"},
	"members/sim":      {"members", "members/device", "members/gate", "members/liveness"},

	"dataplane/conntrack/record": nil,

	"policy":            nil,
	"policy/ruleset":    nil,
	"policy/bootfilter": nil,
	"policy/transfer":   {"policy"},
	"policy/install":    {"policy"},
	"policy/recovery":   {"policy"},

	"management":       {"policy"},
	"management/audit": {"policy"},

	"management/rollout": {"management", "policy"},

	"internal/monitor/verdict": nil,
}

// forbiddenInPure says why a pure package must not import a package of the standard library.
var forbiddenInPure = map[string]string{
	"os":          "files and the environment come in as arguments",
	"os/exec":     "effects are returned, never performed",
	"net":         "sockets belong to adapters (net/netip is fine)",
	"net/http":    "sockets belong to adapters",
	"syscall":     "kernel interfaces belong to adapters",
	"crypto/rand": "randomness comes in as an argument",
	"log":         "events are effects, not lines",
	"log/slog":    "events are effects, not lines",
	"testing":     "testing does not belong into production code",
	"unsafe":      "pure code has no memory tricks",
}

// forbidden edges between our own packages: importer prefix, imported prefix, reason.
var forbidden = []struct{ from, to, why string }{
	{"bpf", "internal", "an adapter serves the node and does not know it"},
	{"ccp", "internal", "an adapter serves the node and does not know it"},
	{"dataplane", "internal", "an adapter serves the node and does not know it"},
	{"bpf", "ccp/segment", "adapters do not know each other: they meet in the node"},
	{"dataplane", "bpf", "adapters do not know each other: they meet in the node"},
	{"dataplane/steer", "members", "the decision is made from tables and packets; what the machine thinks, the node translates"},
	{"dataplane", "ccp", "adapters do not know each other: they meet in the node"},
	{"dataplane/nftset", "dataplane/flow", "what is urgent and what may be dropped is the sync plane's to say: it translates"},
	{"members", "ccp", "wire types are not the machine's types: the node translates"},
	{"ccp", "members", "wire types are not the machine's types: the node translates"},
	{"internal/config", "members", "the configuration is not the machine's: the node translates"},
	{"internal/config", "ccp", "the configuration is not the protocol's: the node translates"},
	{"internal/control", "internal/node", "the API is implemented by the node, not the other way round"},
	{"internal/monitor", "internal/node", "monitors serve the node and do not know it"},
	{"internal/monitor", "internal/config", "monitors are told what to watch, not where it is written: the node translates"},
	{"internal/monitor", "members", "monitors do not know what follows from a problem: the node translates"},
	{"internal/monitor", "bpf", "monitors watch from outside and touch no gate"},
	{"internal/config", "policy/nft", "the configuration says whose policies are believed, and loads none"},
	{"internal/config", "internal/monitor", "the configuration is not the monitors': the node translates"},
	{"internal/statesync", "internal/node", "the sync plane is told what it must know, and read from: it never waits for the loop"},
	{"internal/statesync", "internal/config", "the configuration comes in as an argument: the node translates"},
	{"internal/statesync", "members", "what follows from a table that is not current is the machine's to say: the node translates"},
	{"internal/statesync", "bpf", "serving is the gate's business, tables are the sync plane's"},
	{"internal/policyplane", "internal/node", "the policy plane is told what it must know, and read from: it never waits for the loop"},
	{"internal/policyplane", "internal/config", "the configuration comes in as an argument: the node translates"},
	{"internal/policyplane", "internal/statesync", "two planes, which do not know each other: the node translates"},
	{"internal/policyplane", "members", "what follows from a policy that is missing is the machine's to say: the node translates"},
	{"internal/policyplane", "dataplane", "rulesets are its own, through policy/nft; the rest of the data plane is others'"},
	{"internal/policyplane", "bpf", "serving is the gate's business, policies are the policy plane's"},
	{"internal/manager", "internal/node", "the way to management serves the plane and does not know the node"},
	{"internal/manager", "internal/config", "addresses and names come in as arguments: the node and the commands translate"},
	{"management/api", "internal", "what is said between management and its clients is neither's"},
	{"management/api", "management/server", "clients and members know what is said, not who answers"},
	{"management/pki", "internal", "an authority certifies names, and knows nothing of what they do"},
	{"management/server", "internal/manager", "the members' side is met over the network only"},
	{"management/server", "internal/policyplane", "the members' side is met over the network only"},
	{"management/server", "internal/node", "the members' side is met over the network only"},
	{"internal/manager", "management/server", "members know what is said, not who answers"},
	{"cmd/holdfast-mgmt", "internal/node", "the members' side is met over the network only"},
	{"management", "lab", "the laboratory sees everything and is seen by nothing"},
	{"cmd/holdfast-mgmt", "lab", "the laboratory sees everything and is seen by nothing"},
	{"management/coordinator", "internal", "management knows of members what they report"},
	{"internal/defines", "internal/node", "the node says when they are written, the package what they are"},
	{"internal/metrics", "internal/node", "the node sets the metrics, not the other way round"},
	{"internal/history", "internal/node", "the node translates; the history only keeps"},
	{"internal/history", "internal/config", "bounds and paths come in as arguments"},
	{"internal/history", "members", "the history keeps what operators see, not what the machine thinks"},
	{"internal/notify", "internal/node", "the node hands over events and takes reports, over channels"},
	{"internal/notify", "internal/config", "receivers come in as arguments: the node translates"},
	{"internal/notify", "members", "receivers see what operators see, not what the machine thinks"},
	{"internal/notify", "internal/history", "two readers of the same events, which do not know each other"},
	{"cmd/holdfast", "internal/node", "the operator's CLI talks over the socket only"},
	{"internal", "lab", "the laboratory sees everything and is seen by nothing"},
	{"policy", "internal", "what a cluster is comes in as an argument: the node and the commands translate"},
	{"policy", "ccp", "a policy is bytes to the wire, and the wire is nothing to a policy: the node translates"},
	{"policy", "members", "what follows from a policy that is missing is the machine's to say: the node translates"},
	{"policy", "bpf", "adapters do not know each other: they meet in the node"},
	{"policy", "dataplane", "adapters do not know each other: they meet in the node"},
	{"policy", "lab", "the laboratory sees everything and is seen by nothing"},
	{"management/store", "management/records", "the store knows nothing of what it keeps"},
	{"management/records", "internal", "what a cluster.yaml says comes in as an argument: the server translates"},
	{"management/store", "policy", "the store knows nothing of what it keeps"},
	{"bpf", "lab", "the laboratory sees everything and is seen by nothing"},
	{"ccp", "lab", "the laboratory sees everything and is seen by nothing"},
	{"members", "lab", "the laboratory sees everything and is seen by nothing"},
	{"dataplane", "lab", "the laboratory sees everything and is seen by nothing"},
	{"cmd/holdfastd", "lab", "the laboratory sees everything and is seen by nothing"},
}

// leaves know nothing of Holdfast, so that whoever is no pure package may use them: what a test needs of the machine, and how a file is written
// and read.
var leaves = []string{"internal/labtest", "internal/atomicfile", "internal/regularfile"}

type pkg struct {
	ImportPath, Dir, Name string
	GoFiles, CgoFiles     []string
	Imports               []string
}

func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	pkgs := map[string]pkg{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

func under(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func TestImportDirection(t *testing.T) {
	pkgs := list(t)
	for _, edge := range forbidden {
		for path, p := range pkgs {
			if !under(path, edge.from) {
				continue
			}
			for _, imp := range p.Imports {
				if own, ok := strings.CutPrefix(imp, module); ok && under(own, edge.to) && !slices.Contains(leaves, own) {
					t.Errorf("%s imports %s: %s", path, own, edge.why)
				}
			}
		}
	}
	for _, edge := range forbidden {
		for _, prefix := range []string{edge.from, edge.to} {
			if !slices.ContainsFunc(slices.Collect(keys(pkgs)), func(p string) bool { return under(p, prefix) }) {
				t.Errorf("the edge %s -> %s names %s, which no longer exists", edge.from, edge.to, prefix)
			}
		}
	}
}

func keys(m map[string]pkg) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	pkgs := list(t)
	for path, own := range pure {
		p, ok := pkgs[path]
		if !ok {
			t.Errorf("pure package %s no longer exists", path)
			continue
		}
		for _, imp := range p.Imports {
			if why, bad := forbiddenInPure[imp]; bad {
				t.Errorf("%s imports %s: %s", path, imp, why)
			}
			if o, ok := strings.CutPrefix(imp, module); ok {
				if !slices.Contains(own, o) {
					t.Errorf("%s imports %s: pure packages do not import each other but as stated in this test", path, o)
				}
			} else if strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				t.Errorf("%s imports %s: pure packages use the standard library only", path, imp)
			}
		}
		for _, f := range p.GoFiles {
			pureFile(t, filepath.Join(p.Dir, f))
		}
	}
}

// pureFile finds clocks, timers and goroutines in a file of a pure package.
func pureFile(t *testing.T, file string) {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	clocks := []string{"Now", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Since", "Until"}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a goroutine in a pure package", fset.Position(n.Pos()))
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && id.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
				t.Errorf("%s: time.%s in a pure package: time comes in as an argument", fset.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}

func TestPackageComments(t *testing.T) {
	for path, p := range list(t) {
		n := 0
		for _, f := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Doc != nil {
				n++
			}
		}
		if len(p.GoFiles) > 0 && n != 1 {
			t.Errorf("%s: %d package comments, want exactly one", path, n)
		}
	}
}

func TestLicences(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "out") {
			return filepath.SkipDir
		}
		want := map[string]string{".go": "Apache-2.0", ".c": "GPL-2.0-only", ".h": "GPL-2.0-only", ".lua": "Apache-2.0"}[filepath.Ext(path)]
		if want == "" || strings.Contains(path, "_bpfe") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if head, _, _ := strings.Cut(string(text), "\n\n"); !strings.Contains(head, "SPDX-License-Identifier: "+want) {
			t.Errorf("%s: no line SPDX-License-Identifier: %s at its head", path, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
