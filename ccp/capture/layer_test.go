// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/holdfast-project/holdfast/ccp"
)

const cluster = 0x0102

var (
	key     = ccp.ClusterKey{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32}
	gateKey = key.GateKey(cluster)
	srcMAC  = []byte{0x02, 0, 0, 0, 0, 1}
	dstMAC  = []byte{0x02, 0, 0, 0, 0, 2}
)

// ether puts frame on Ethernet.
func ether(frame []byte) []byte {
	b := append(bytes.Clone(dstMAC), srcMAC...)
	b = binary.BigEndian.AppendUint16(b, ccp.DefaultEtherType)
	return append(b, frame...)
}

func header() ccp.Header {
	return ccp.Header{
		Key: 1, Cluster: cluster, Source: 1, Target: 2, Incarnation: 0xa1a2a3a4a5a6a7a8, Sequence: 0x0000_0abc_def0_1234,
		EchoIncarnation: 0xb1b2b3b4b5b6b7b8, EchoStamp: 0x0000_0abc_def0_1000,
	}
}

func sampleHello() ccp.Hello {
	h := ccp.Hello{
		State: ccp.StateActiveAttention, Term: 77, Build: "v0.1", Version: 1, Forced: ccp.Forced{To: ccp.Nobody},
		Interfaces: []ccp.InterfaceView{{Slot: 1, Carrier: true, Heard: 5, InAgeMs: 12}},
		Devices:    []ccp.DeviceView{{Name: "policy", Status: ccp.DeviceProblem, Reason: "no policy"}},
		Keys:       ccp.KeyStatement{Using: 1, Held: [2]ccp.KeyName{{Number: 1, Fingerprint: key.Fingerprint(cluster)}}},
	}
	h.View[2] = ccp.MemberView{State: ccp.StateStandby, AgeMs: 9, HelloAgeMs: 99}
	return h
}

// sealedHello is a HELLO from member 1 that echoes member 0.
func sealedHello() []byte {
	h := sampleHello()
	plain := []byte{1, 0}
	plain = binary.BigEndian.AppendUint64(plain, 0xc1c2c3c4c5c6c7c8)
	plain = binary.BigEndian.AppendUint64(plain, 0xd1)
	hd := header()
	hd.Type = ccp.TypeHello
	return ccp.NewSealer(key, 1, cluster, 1, hd.Incarnation).Seal(nil, hd, h.Append(plain))
}

func decodeOne(t *testing.T, packet []byte) *CCP {
	t.Helper()
	Register(ccp.DefaultEtherType)
	p := gopacket.NewPacket(packet, layers.LayerTypeEthernet, gopacket.Default)
	if err := p.ErrorLayer(); err != nil {
		t.Fatal(err.Error())
	}
	c, ok := p.Layer(LayerTypeCCP).(*CCP)
	if !ok {
		t.Fatalf("no CCP in %v", p)
	}
	return c
}

func TestGateFrames(t *testing.T) {
	probe := ccp.Probe{Nonce: 1, Term: 2, Group: 3, Bits: ccp.BitAnswer}
	yield := ccp.Yield{Nonce: 1, Term: 2, Kind: ccp.YieldGraceful}
	reply := ccp.Reply{Nonce: 1, FenceTerm: 9, Grantee: ccp.Nobody, Result: ccp.ResultGranted}
	yieldReply := header()
	yieldReply.Type = ccp.TypeYieldReply

	c := decodeOne(t, append(ether(ccp.AppendProbe(nil, header(), probe, gateKey)), 0, 0, 0))
	if c.Probe == nil || *c.Probe != probe || c.Yield != nil || c.Reply != nil || c.Sealed() || !c.Authentic(key) || len(c.Payload) != 3 {
		t.Errorf("probe: %+v", c)
	}
	c = decodeOne(t, ether(ccp.AppendYield(nil, header(), yield, gateKey)))
	if c.Yield == nil || *c.Yield != yield || c.Probe != nil || c.Reply != nil {
		t.Errorf("yield: %+v", c)
	}
	for _, h := range []ccp.Header{header(), yieldReply} {
		c = decodeOne(t, ether(ccp.AppendReply(nil, h, reply, gateKey)))
		if c.Reply == nil || *c.Reply != reply || c.Probe != nil || c.Yield != nil {
			t.Errorf("%v: %+v", c.Header.Type, c)
		}
	}
	if c.Authentic(ccp.ClusterKey{}) {
		t.Error("authentic under any key")
	}
	if _, err := c.OpenHello(key); err == nil {
		t.Error("opened a reply")
	}
}

func TestHello(t *testing.T) {
	c := decodeOne(t, ether(sealedHello()))
	if !c.Sealed() || !c.Authentic(key) || c.Header.Type != ccp.TypeHello {
		t.Fatalf("%+v", c.Header)
	}
	h, err := c.OpenHello(key)
	if err != nil || h.Term != 77 || h.Devices[0].Reason != "no policy" || len(h.Echoes) != 1 || h.Echoes[0].Sequence != 0xd1 {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := c.OpenHello(ccp.ClusterKey{9}); !errors.Is(err, ccp.ErrSeal) {
		t.Fatalf("with another key: %v", err)
	}
}

func TestNotCCP(t *testing.T) {
	Register(ccp.DefaultEtherType)
	for name, b := range map[string][]byte{
		"one byte": {1}, "version": append([]byte{2, 1}, make([]byte, 102)...), "cut": ccp.AppendProbe(nil, header(), ccp.Probe{}, gateKey)[:103],
	} {
		p := gopacket.NewPacket(ether(b), layers.LayerTypeEthernet, gopacket.Default)
		if p.Layer(LayerTypeCCP) != nil || p.ErrorLayer() == nil {
			t.Errorf("%s: decoded %v", name, p)
		}
	}
}

// FuzzLayer takes bytes from anybody on the segment, as a capture does: no panic, and the layer agrees with package ccp.
func FuzzLayer(f *testing.F) {
	f.Add(ccp.AppendProbe(nil, header(), ccp.Probe{}, gateKey))
	f.Add(ccp.AppendReply(nil, header(), ccp.Reply{}, gateKey))
	f.Add(sealedHello())
	f.Fuzz(func(t *testing.T, b []byte) {
		Register(ccp.DefaultEtherType)
		p := gopacket.NewPacket(ether(b), layers.LayerTypeEthernet, gopacket.Default)
		c, ok := p.Layer(LayerTypeCCP).(*CCP)
		h, err := ccp.ParseHeader(b)
		if ok != (err == nil) {
			t.Fatalf("layer %v, parser %v", ok, err)
		}
		if !ok {
			return
		}
		if c.Header != h || len(c.Contents)+len(c.Payload) != len(b) || p.String() == "" {
			t.Fatalf("%+v, want %+v", c.Header, h)
		}
		var again CCP
		if err := again.DecodeFromBytes(c.Contents, gopacket.NilDecodeFeedback); err != nil || again.Header != h {
			t.Fatalf("%+v, %v", again.Header, err)
		}
		c.Authentic(key)
		_, _ = c.OpenHello(key)
	})
}
