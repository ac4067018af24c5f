// SPDX-License-Identifier: Apache-2.0

package pcap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

func writeFile(path string, cfg Config, frames []frame, stats Stats) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("pcap: segment %s: %w", cfg.Segment, err)
	}
	buf := bufio.NewWriter(f)
	err = write(buf, cfg, frames, stats)
	if err = errors.Join(err, buf.Flush(), f.Close()); err != nil {
		return fmt.Errorf("pcap: segment %s: write %s: %w", cfg.Segment, path, err)
	}
	return nil
}

// write writes a section with one interface per port, even of a port without frames, and the frames.
func write(w io.Writer, cfg Config, frames []frame, stats Stats) error {
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Application: "holdfast-lab",
		Comment: fmt.Sprintf("segment %s: %d frames, each at the port where it entered the switch; %d older ones left out, %d missed",
			cfg.Segment, stats.Recorded, stats.Evicted, stats.Missed),
	}}
	ng, err := pcapgo.NewNgWriterInterface(w, describe(cfg, cfg.Ports[0]), options)
	if err != nil {
		return err
	}
	for _, p := range cfg.Ports[1:] {
		if _, err := ng.AddInterface(describe(cfg, p)); err != nil {
			return err
		}
	}
	for _, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: f.length, InterfaceIndex: f.port}
		if err := ng.WritePacket(info, f.data); err != nil {
			return err
		}
	}
	return ng.Flush()
}

func describe(cfg Config, p Port) pcapgo.NgInterface {
	return pcapgo.NgInterface{
		Name: p.Name, Description: "port " + p.Interface + " of " + cfg.Segment, OS: "linux",
		LinkType: layers.LinkTypeEthernet, SnapLength: uint32(cfg.Snap), TimestampResolution: 9,
	}
}
