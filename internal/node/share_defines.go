// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/members"
)

// writeDefines tells rulesets this member's part of what is shared. A failure is said and keeps nobody from serving: rules of before hold.
func (n *node) writeDefines() {
	text := defines.Text(n.cfg, n.local.Self)
	path := defines.Path(n.cfg.Name, n.local.Self.Name)
	n.share.definesError = ""
	if text == "" {
		return
	}
	changed, err := defines.Write(path, text)
	switch {
	case err != nil:
		n.share.definesError = err.Error()
		n.say(members.CodeDefinesFailed, err.Error())
	case changed:
		n.say(members.CodeDefinesWritten, path+" has changed: load rulesets that include it again")
	}
}

// LoadDefines implements control.Backend.
func (b *backend) LoadDefines(ctx context.Context) (control.LoadDefines, error) {
	return ask(ctx, b.n, func(int64) (control.LoadDefines, error) {
		n := b.n
		if n.cfg.LoadSharing == nil {
			return control.LoadDefines{}, errNotShared
		}
		return control.LoadDefines{Member: n.local.Self.Name, Path: defines.Path(n.cfg.Name, n.local.Self.Name),
			Text: defines.Text(n.cfg, n.local.Self), Error: n.share.definesError}, nil
	})
}
