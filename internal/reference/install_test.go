// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// programs makes stand-ins for what make build makes, since what is installed is what counts here.
func programs(t *testing.T) string { return programsOf(t, "v1.2.3-4-gabcdef0") }

func programsOf(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"holdfastd", "holdfast", "holdfast-mgmt"} {
		script := "#!/bin/sh\necho \"" + name + " " + version + " $*\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// script runs one of the scripts at the root of the repository.
func script(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("bash", args...)
	cmd.Dir = "../.."
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// files lists what is no directory below a root, as seen from there.
func files(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	started  = regexp.MustCompile(`(?m)^Exec\w+=-?(/\S+)`)
	escaping = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
)

// TestInstall: what units start is where they look for it, pages and completions are there, a second installation changes nothing, and
// removal leaves nothing but what is the operator's.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	for _, prefix := range []string{"/usr", "/opt/holdfast"} {
		env := []string{"DESTDIR=" + root, "PREFIX=" + prefix, "BIN=" + programs(t)}
		script(t, env, "scripts/install", "mgmt")
		script(t, env, "scripts/install", "member")
		if prefix == "/usr" {
			script(t, env, "scripts/install", "member")
		}
		all := files(t, root)
		for _, want := range []string{
			"/sbin/cphaprob", "/share/man/man8/holdfastd.8", "/share/man/man8/holdfast.8", "/share/man/man8/holdfast-mgmt.8",
			"/share/bash-completion/completions/holdfast", "/share/zsh/site-functions/_holdfast-mgmt",
			"/share/doc/holdfast/deploy/cluster.yaml", "/share/doc/holdfast/docs/OPERATIONS.md", "/share/snmp/mibs/HOLDFAST-MIB.txt",
			"/lib/sysusers.d/holdfast-mgmt.conf",
		} {
			if !slices.Contains(all, prefix+want) {
				t.Errorf("%s%s is not installed", prefix, want)
			}
		}
		units := 0
		for _, f := range all {
			if strings.HasSuffix(f, ".new") {
				t.Errorf("%s was left behind", f)
			}
			text, err := os.ReadFile(root + f)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(f, ".service") {
				continue
			}
			units++
			for _, m := range started.FindAllStringSubmatch(string(text), -1) {
				if info, err := os.Stat(root + m[1]); m[1] != "/bin/true" && (err != nil || info.Mode()&0o111 == 0) {
					t.Errorf("%s starts %s: %v", f, m[1], err)
				}
			}
		}
		if units != 4 {
			t.Errorf("%d units are installed, want 4", units)
		}
		script(t, env, "scripts/install", "member", "--remove")
		script(t, env, "scripts/install", "mgmt", "--remove")
		if left := files(t, root); len(left) > 0 {
			t.Errorf("removal leaves %v", left)
		}
		if info, err := os.Stat(root + "/etc/holdfast"); err != nil || !info.IsDir() {
			t.Errorf("removal took /etc/holdfast, which is the operator's: %v", err)
		}
	}
}

// TestInstalledLinks: the links of the installed handbook lead to what is installed beside it, but for those into the source.
func TestInstalledLinks(t *testing.T) {
	root := t.TempDir()
	script(t, []string{"DESTDIR=" + root, "PREFIX=/usr", "BIN=" + programs(t)}, "scripts/install", "member")
	source := regexp.MustCompile(`\.go$|/data/|/snmp$|/decisions/$|LICENSE|openapi|scenarios`)
	for _, page := range []string{"README.md", "docs/OPERATIONS.md", "docs/EVENTS.md", "docs/POLICY.md", "docs/API.md"} {
		file := filepath.Join(root, "usr/share/doc/holdfast", page)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range escaping.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(l[1], "://") || source.MatchString(l[1]) {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), l[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// packaged is where a package has a file of an installation, if it is elsewhere: Debian compresses manual pages.
func packaged(file string) string {
	if strings.Contains(file, "/share/man/") {
		return file + ".gz"
	}
	return file
}

// TestDebianPackages: the packages have what an installation has, and nothing else but what Debian asks for, and a version that sorts.
func TestDebianPackages(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		labtest.Missing(t, "dpkg-deb")
	}
	dir := t.TempDir()
	made := strings.Fields(script(t, []string{"BIN=" + programs(t)}, "scripts/deb", dir))
	if len(made) != 2 || !strings.Contains(made[0], "/holdfast_1.2.3+4.gabcdef0_") || !strings.Contains(made[1], "/holdfast-mgmt_1.2.3+4.gabcdef0_") {
		t.Fatalf("made %v", made)
	}
	for i, what := range []string{"member", "mgmt"} {
		name := []string{"holdfast", "holdfast-mgmt"}[i]
		doc := "/usr/share/doc/" + name
		installed, unpacked := t.TempDir(), t.TempDir()
		script(t, []string{"DESTDIR=" + installed, "PREFIX=/usr", "ZSHDIR=/usr/share/zsh/vendor-completions", "BIN=" + programs(t)}, "scripts/install", what)
		if out, err := exec.Command("dpkg-deb", "--extract", made[i], unpacked).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		want := []string{doc + "/copyright", doc + "/changelog.gz", "/usr/share/lintian/overrides/" + name}
		for _, f := range files(t, installed) {
			want = append(want, packaged(f))
		}
		have := files(t, unpacked)
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s: make install and the package differ:\n%q\n%q", name, want, have)
		}
		for _, f := range have {
			if _, err := os.Stat(unpacked + f); err != nil { // a link that leads nowhere
				t.Error(err)
			}
		}
		if info, err := os.Stat(unpacked + "/etc/holdfast"); what == "member" && (err != nil || info.Mode().Perm() != 0o755) {
			t.Errorf("/etc/holdfast: %v, %v", info, err)
		}
		scripts, err := exec.Command("dpkg-deb", "--info", made[i]).CombinedOutput()
		if err != nil || strings.Count(string(scripts), "#!/bin/sh") != 3 {
			t.Errorf("%s: not three maintainer scripts: %v\n%s", made[i], err, scripts)
		}
	}
}

// TestDebianVersions: a later build is a later version, with a tag or without, and is never taken for a downgrade.
func TestDebianVersions(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		labtest.Missing(t, "dpkg-deb")
	}
	before := ""
	for i, version := range []string{"fedcba9", "fedcba9-next", "0123456", "v0.1.0"} {
		at := "SOURCE_DATE_EPOCH=" + strconv.Itoa(1_700_000_000+3600*(i/2)) // two of each commit
		made := strings.Fields(script(t, []string{"BIN=" + programsOf(t, version), "COMPRESSION=none", at}, "scripts/deb", t.TempDir()))
		out, err := exec.Command("dpkg-deb", "--field", made[0], "Version").Output()
		if err != nil {
			t.Fatal(err)
		}
		now := strings.TrimSpace(string(out))
		if before != "" && exec.Command("dpkg", "--compare-versions", before, "lt", now).Run() != nil {
			t.Errorf("%s is not older than %s", before, now)
		}
		before = now
	}
}
