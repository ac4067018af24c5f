// SPDX-License-Identifier: Apache-2.0

package flow

// layout is how the items of one batch are laid out. The zero value is one behind the other.
type layout struct {
	packer Packer // nil: as they are
	items  int
}

// add appends an item to the batch that payload is, if it fits into size bytes. Every item that is no longer than that fits into a batch
// of its own.
func (l *layout) add(payload, data []byte, size int) ([]byte, bool) {
	if l.packer != nil {
		if l.items == 0 {
			payload = l.packer.Begin(payload[:0])
		}
		var ok bool
		if payload, ok = l.packer.Append(payload, data, size); ok || l.items > 0 {
			if ok {
				l.items++
			}
			return payload, ok
		}
		// It is one that packing makes longer, or the packer does not know: this batch goes as it is.
		l.packer, payload = nil, payload[:0]
	}
	if len(payload)+len(data) > size {
		return payload, false
	}
	l.items++
	return append(payload, data...), true
}
