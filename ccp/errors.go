// SPDX-License-Identifier: Apache-2.0

package ccp

import "errors"

// What a parser of this package can say about bytes. Errors returned wrap one of these with the values found; compare with
// errors.Is. They never name a fault of this member: the bytes came from the wire.
var (
	// ErrShort says that there are fewer bytes than the header or its length field promise.
	ErrShort = errors.New("ccp: frame is too short")
	// ErrVersion says that the frame is of another version of the header than HeaderVersion.
	ErrVersion = errors.New("ccp: unknown header version")
	// ErrType says that the frame's type is zero, which no frame ever has.
	ErrType = errors.New("ccp: frame type zero")
	// ErrLength says that the body's length is below MinBodyLen or above MaxBodyLen.
	ErrLength = errors.New("ccp: body length out of bounds")
	// ErrMalformed says that a body contradicts itself: a TLV that runs over the end, a count that cannot be.
	ErrMalformed = errors.New("ccp: malformed body")
	// ErrSeal says that a frame is not sealed, or not under the key given.
	ErrSeal = errors.New("ccp: not sealed under this key")
)

// What Keyring.Load refuses.
var (
	// ErrKeySet says that the keys of the key file cannot be held together.
	ErrKeySet = errors.New("ccp: key file")
	// ErrKeyInUse says that a key is missing from the key file that some member still seals with.
	ErrKeyInUse = errors.New("ccp: key still in use")
)
