// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"errors"

	"github.com/holdfast-project/holdfast/ccp"
)

func (l *loop) fromPeer(j *job) {
	l.p.tell(got{j.what.Digest, j.source, nil, errors.New("not there")})
}

func (l *loop) transfer(from uint8, name string, part ccp.PolicyPart) {}

func (f *fetches) gone(name string) {}
