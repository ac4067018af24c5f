// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// Digest and signature of TestGoldenBytes's bundle: docs/POLICY.md has them as its example.
const (
	goldenDigest    = "e2a13114f0fddbdad91e8395ca20dc6855917b1f4306b1d9c9c7676f8884497a"
	goldenSignature = "d6fb99502e75db5080812ad5e325fa37c64f0806004a2c22a6d474bb120ac322431c0e8130da86ec44c53305d7b8221a22e30a8793813575313e746c893f1803"
)

// TestDocumentation: the example of docs/POLICY.md is the golden bundle.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	s := seal(t, goldenBundle())
	for _, want := range []string{goldenDigest, goldenSignature, hex.EncodeToString(s.body)} {
		if !strings.Contains(strings.ReplaceAll(string(text), " ", ""), want) {
			t.Errorf("docs/POLICY.md does not say %s", want)
		}
	}
}
