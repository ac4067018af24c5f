// SPDX-License-Identifier: Apache-2.0

package policy

// Digest and signature of TestGoldenBytes's bundle: docs/POLICY.md has them as its example.
const (
	goldenDigest    = "e2a13114f0fddbdad91e8395ca20dc6855917b1f4306b1d9c9c7676f8884497a"
	goldenSignature = "d6fb99502e75db5080812ad5e325fa37c64f0806004a2c22a6d474bb120ac322431c0e8130da86ec44c53305d7b8221a22e30a8793813575313e746c893f1803"
)
