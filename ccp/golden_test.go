// SPDX-License-Identifier: Apache-2.0

package ccp

// golden holds what cannot be written down by hand: the outputs of ciphers, for the inputs that the tests name. The keys were checked
// with another HKDF (Python's hmac); that the seal is AES-256-GCM is checked by the Wireshark dissector's own in ccp/capture.
var golden = map[string]string{
	"gate key":    "d97e4443fce945a2de7c9ac792347721",
	"seal key":    "d2460239f3f9be255609da45e556362497625ae1ffd38d01ce4950bcec54d9d8",
	"fingerprint": "5e29163b5feba44d",
	"sealed": "01100101030405060030000000000000" + "101112131415161720212223242526273031323334353637404142434445464797271dd936a48fcd" +
		"4872bdc672557418eebdb86811b1ff0b7e2eaf3a544877ea683c1ab03d2f88a1b02498f3f843b60c8afa5f6f8c6423f5",
}
