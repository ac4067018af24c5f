// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// Families are the families of nftables by name.
var Families = map[string]byte{"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}

// From linux/netfilter/nf_tables.h.
const (
	nftGetTable     = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE
	nftNewGen       = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN
	nftDormant      = 1 // NFT_TABLE_F_DORMANT
	sizeofNFGenMsg  = 4
	tableAttrName   = 1 // NFTA_TABLE_NAME
	tableAttrFlags  = 2 // NFTA_TABLE_FLAGS
	tableAttrChains = 3 // NFTA_TABLE_USE: chains, sets and what else is in it
)

// table checks that an nftables table is loaded.
type table struct {
	Table
	notices *notices
	ear     *ear
}

func newTable(t Table, n *notices) *table {
	return &table{Table: t, notices: n, ear: newEar(func(m netlink.Message) bool {
		return m.Header.Type == nftNewGen // the end of each transaction
	})}
}

func (t *table) changed() <-chan struct{} { return t.ear.news }
func (t *table) close()                   { t.notices.leave(t.ear) }

func (t *table) check(context.Context) verdict.Result {
	t.notices.listen(t.ear)
	flags, used, err := t.get()
	name := "table " + t.Family + " " + t.Name
	switch {
	case errors.Is(err, unix.ENOENT):
		return verdict.Wrong("no " + name)
	case err != nil:
		return verdict.Wrong(fmt.Sprintf("%s: %v", name, err))
	case flags&nftDormant != 0:
		return verdict.Wrong(name + " is dormant")
	case used == 0:
		return verdict.Wrong(name + " is empty")
	}
	return verdict.Fine()
}

func (t *table) get() (flags, used uint32, err error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	attrs := netlink.NewAttributeEncoder()
	attrs.String(tableAttrName, t.Name)
	body, err := attrs.Encode()
	if err != nil {
		return 0, 0, err
	}
	messages, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: nftGetTable, Flags: netlink.Request},
		Data:   append([]byte{Families[t.Family], unix.NFNETLINK_V0, 0, 0}, body...),
	})
	if err != nil {
		return 0, 0, err
	}
	for _, m := range messages {
		if len(m.Data) < sizeofNFGenMsg {
			continue
		}
		got, err := netlink.NewAttributeDecoder(m.Data[sizeofNFGenMsg:])
		if err != nil {
			return 0, 0, err
		}
		got.ByteOrder = binary.BigEndian
		for got.Next() {
			switch got.Type() {
			case tableAttrFlags:
				flags = got.Uint32()
			case tableAttrChains:
				used = got.Uint32()
			}
		}
	}
	return flags, used, nil
}
