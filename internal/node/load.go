// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"

	"github.com/holdfast-project/holdfast/internal/control"
)

// errNotShared answers what is about load sharing in a cluster of another mode.
var errNotShared = control.Refused("this cluster does not share the load", "it takes mode: load-sharing in cluster.yaml")

// Load implements control.Backend.
func (b *backend) Load(context.Context) (control.Load, error) {
	return control.Load{}, errNotShared
}

// LoadDefines implements control.Backend.
func (b *backend) LoadDefines(context.Context) (control.LoadDefines, error) {
	return control.LoadDefines{}, errNotShared
}

// LoadWeight implements control.Backend.
func (b *backend) LoadWeight(context.Context, control.LoadWeightRequest) (control.Result, error) {
	return control.Result{}, errNotShared
}

// Which implements control.Backend.
func (b *backend) Which(context.Context, control.WhichRequest) (control.Which, error) {
	return control.Which{}, errNotShared
}
