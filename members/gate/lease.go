// SPDX-License-Identifier: Apache-2.0

package gate

const (
	leaseBits = 40
	leaseMask = 1<<leaseBits - 1
	leaseUnit = 16 // a lease counts time in units of 2^16 ns

	// leaseRaced is how many units (one second) a lease may lie ahead of the clock and still count as just renewed: the pulse stored
	// it after whoever judges it had read the clock. Between the two a hypervisor may take the CPU away for any time; nothing
	// else puts a lease ahead of a clock that never runs backwards.
	leaseRaced = 1 << 14
)

// Lease is a member's right to serve a group for a term, and when it was last renewed, in one word so that one store renews it.
type Lease uint64

// NewLease returns the lease of a term (1 to MaxTerm; higher bits are cut off) renewed at the given boot time.
func NewLease(term uint32, renewed int64) Lease {
	return Lease(uint64(term&MaxTerm)<<leaseBits | uint64(renewed)>>leaseUnit&leaseMask)
}

// Term returns the lease's term, 0 if there is no lease.
func (l Lease) Term() uint32 { return uint32(l >> leaseBits) }

// Age returns for how long the lease has not been renewed, in nanoseconds and at most 65 µs too little. A lease that lies in the
// future by more than a race explains has an age of hundreds of days: it does not serve.
func (l Lease) Age(now int64) int64 {
	age := (uint64(now)>>leaseUnit - uint64(l)) & leaseMask
	if age >= leaseMask+1-leaseRaced {
		age = 0
	}
	return int64(age << leaseUnit)
}

// Fence is the highest term that a gate has granted, and to whom. A lease below it does not serve.
type Fence struct {
	Term    uint32
	Grantee uint8
}

// Word returns the fence as it is stored.
func (f Fence) Word() uint64 { return uint64(f.Term)<<8 | uint64(f.Grantee) }

// FenceOf unpacks a stored fence.
func FenceOf(word uint64) Fence { return Fence{Term: uint32(word >> 8), Grantee: uint8(word)} }

// Permits reports whether a lease of the given term, held by self, is not fenced off.
func (f Fence) Permits(term uint32, self uint8) bool {
	return term != 0 && (term > f.Term || term == f.Term && f.Grantee == self)
}

// Shares reports whether a share of the given term is not fenced off. Whom the fence's term was granted to does not matter: everybody
// carries a share under the term of the one who leads.
func (f Fence) Shares(term uint32) bool { return term != 0 && term >= f.Term }

// Grant returns the fence after member asked for term, and whether it was granted: once per term to one member, again to the same.
func (f Fence) Grant(term uint32, member uint8) (Fence, bool) {
	switch {
	case term > f.Term:
		return Fence{Term: term, Grantee: member}, true
	case term == f.Term && term != 0 && f.Grantee == member:
		return f, true
	}
	return f, false
}
