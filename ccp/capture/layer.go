// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"encoding/binary"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/holdfast-project/holdfast/ccp"
)

// LayerTypeCCP is the type of *CCP layers. gopacket keeps numbers from 1000 on for layers that are not its own.
var LayerTypeCCP = gopacket.RegisterLayerType(0x88B5, gopacket.LayerTypeMetadata{Name: "CCP", Decoder: gopacket.DecodeFunc(decode)})

// Register makes gopacket decode frames of etherType as CCP from now on, for the whole process.
func Register(etherType uint16) {
	layers.EthernetTypeMetadata[etherType] = layers.EnumMetadata{
		DecodeWith: LayerTypeCCP, Name: "CCP", LayerType: LayerTypeCCP,
	}
}

// CCP is a decoded frame. Of Probe, Yield and Reply, the one of the header's type is set; none in a sealed frame.
type CCP struct {
	layers.BaseLayer
	Header ccp.Header
	// Tag as it stands in the frame: see Authentic.
	Tag   uint64
	Probe *ccp.Probe
	Yield *ccp.Yield
	Reply *ccp.Reply
	frame []byte
}

// Hello is an opened HELLO.
type Hello struct {
	Echoes []ccp.Echo
	ccp.Hello
}

var _ gopacket.DecodingLayer = &CCP{}

func decode(data []byte, p gopacket.PacketBuilder) error {
	c := &CCP{}
	if err := c.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(c)
	return p.NextDecoder(c.NextLayerType())
}

// DecodeFromBytes reads the frame in data, which c keeps. On an error c is as it was.
func (c *CCP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	h, err := ccp.ParseHeader(data)
	if err != nil {
		df.SetTruncated()
		return fmt.Errorf("capture: %w", err)
	}
	end := ccp.HeaderLen + int(h.Length)
	next := CCP{
		BaseLayer: layers.BaseLayer{Contents: data[:end], Payload: data[end:]},
		Header:    h,
		Tag:       binary.BigEndian.Uint64(data[ccp.TagOffset:]),
		frame:     data[:end],
	}
	if err := next.decodeBody(h.Body(data)); err != nil {
		return fmt.Errorf("capture: %v: %w", h.Type, err)
	}
	*c = next
	return nil
}

func (c *CCP) decodeBody(body []byte) error {
	switch c.Header.Type {
	case ccp.TypeProbe:
		p, err := ccp.ParseProbe(body)
		c.Probe = &p
		return err
	case ccp.TypeYield:
		y, err := ccp.ParseYield(body)
		c.Yield = &y
		return err
	case ccp.TypeReply, ccp.TypeYieldReply:
		r, err := ccp.ParseReply(body)
		c.Reply = &r
		return err
	}
	return nil
}

// LayerType returns LayerTypeCCP.
func (c *CCP) LayerType() gopacket.LayerType { return LayerTypeCCP }

// CanDecode returns LayerTypeCCP.
func (c *CCP) CanDecode() gopacket.LayerClass { return LayerTypeCCP }

// NextLayerType returns gopacket.LayerTypePayload: nothing but Ethernet's padding follows.
func (c *CCP) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// Sealed reports whether the body is sealed: see Open.
func (c *CCP) Sealed() bool { return c.Header.Type.Sealed() }

// Authentic reports whether the frame's tag is right under the cluster key.
func (c *CCP) Authentic(key ccp.ClusterKey) bool {
	return ccp.VerifyTag(c.frame, key.GateKey(c.Header.Cluster))
}

// OpenHello opens a HELLO with the cluster key. The error wraps ccp.ErrSeal when it is none under this key.
func (c *CCP) OpenHello(key ccp.ClusterKey) (Hello, error) {
	if c.Header.Type != ccp.TypeHello {
		return Hello{}, fmt.Errorf("capture: a %v is no HELLO", c.Header.Type)
	}
	plain, err := key.Unseal(nil, c.frame)
	if err != nil {
		return Hello{}, fmt.Errorf("capture: open: %w", err)
	}
	echoes, body, err := ccp.ParseEchoes(plain)
	if err != nil {
		return Hello{}, fmt.Errorf("capture: %w", err)
	}
	h, err := ccp.ParseHello(body)
	if err != nil {
		return Hello{}, fmt.Errorf("capture: %w", err)
	}
	return Hello{echoes, h}, nil
}
