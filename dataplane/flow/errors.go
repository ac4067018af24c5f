// SPDX-License-Identifier: Apache-2.0

package flow

import "errors"

var (
	// ErrTooLong says that an item's data does not fit into a batch.
	ErrTooLong = errors.New("flow: the item is longer than a batch's payload")
	// ErrEmpty says that an item has no data.
	ErrEmpty = errors.New("flow: the item has no data")
	// ErrClass says that an item's class is none of the known ones.
	ErrClass = errors.New("flow: the item has no known class")
	// ErrConfig says that a configuration contradicts itself; what wraps it says how.
	ErrConfig = errors.New("flow: configuration")
)
