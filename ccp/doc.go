// SPDX-License-Identifier: Apache-2.0

// Package ccp is the codec of the Cluster Control Protocol, and this comment is the protocol's specification, version 1.
//
// The package owns frames, tags, sealing, replay windows and the rotation of keys. It is pure: standard library only, no socket, no
// clock, no goroutine, no randomness of its own; time and randomness come in as arguments. It must not import any other package of
// this module. Its types are the wire's; what they mean to a member is package members'.
//
// # Frames
//
// CCP runs over raw Ethernet on every monitored interface, EtherType 0x88B5 unless configured otherwise. The source MAC is the
// interface's own. The destination is the target's MAC as learned from authentic frames, or the cluster's multicast address
// 03:48:46:00 followed by the cluster id (also while no MAC is known), or broadcast. All numbers are big-endian. Every frame begins
// with the same header of 56 bytes:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+---------------+---------------+---------------+
//	|    version    |     type      |     flags     |      key      |  0
//	+---------------+---------------+---------------+---------------+
//	|          cluster id           |    source     |    target     |  4
//	+-------------------------------+---------------+---------------+
//	|          body length          |           reserved            |  8
//	+-------------------------------+-------------------------------+
//	|                           reserved                            | 12
//	+---------------------------------------------------------------+
//	|                          incarnation                          | 16
//	+---------------------------------------------------------------+
//	|                           sequence                            | 24
//	+---------------------------------------------------------------+
//	|                       echo incarnation                        | 32
//	+---------------------------------------------------------------+
//	|                          echo stamp                           | 40
//	+---------------------------------------------------------------+
//	|                              tag                              | 48
//	+---------------------------------------------------------------+
//	|                  body: 48 bytes at the least                  | 56
//
//	version           [1]byte  // 1; a frame of another version is dropped
//	type              [1]byte  // below, 0 is invalid; under 16 gate frames, from 16 on sealed frames
//	flags             [1]byte  // 1 QUERY: a probe out of schedule, asked before a claim
//	key               [1]byte  // number of the cluster key, 1..255; its low two bits select the gate's key slot
//	cluster id        [2]byte
//	source            [1]byte  // member number, 0..7
//	target            [1]byte  // member number, or 255 for all
//	body length       [2]byte  // 48..1344, exactly 48 in gate frames; bytes after the body are Ethernet's padding
//	reserved          [6]byte  // sent as 0, not looked at
//	incarnation       [8]byte  // of the sender: its gate's in gate frames, its daemon's in sealed frames; never 0
//	sequence          [8]byte  // sender's CLOCK_BOOTTIME in ns when it sent; in sealed frames strictly increasing per incarnation
//	echo incarnation  [8]byte  // the TARGET's gate's incarnation as the sender knows it; 0 unknown
//	echo stamp        [8]byte  // newest sequence that the sender got from the target's gate in a reply, 0 unknown;
//	                           // in a reply: the probe's own sequence
//	tag               [8]byte  // SipHash-2-4 under the gate key over bytes 0..47 and 56..103, a message of 96 bytes
//
// The tag is the number that SipHash returns, sent big-endian like all others. It covers the first 48 bytes of the body, which is the
// whole of a gate frame; the rest of a sealed frame is the seal's business.
//
// # Types
//
//	 1 PROBE        gate    is your gate there? Answered in place by the gate, in the kernel
//	 2 REPLY        gate    the answer
//	 3 YIELD        gate    grant me this term
//	 4 YIELD-REPLY  gate    the answer
//	16 HELLO        sealed  a daemon's report of itself and of its view: at once on any change, on all interfaces;
//	                        else every 100 ms (33 ms, if it serves and hears nobody), on one interface in turn while all peers are heard on all of them
//	17 KEY          sealed  set aside for key rotation; not sent in version 1, whose confirmations travel in HELLO
//	18 SYNC         sealed  state synchronisation, between the members' sync planes, on the interfaces for it
//	19 SLOTS        sealed  who takes which part of the traffic, from the leader of a cluster that shares load: at once on any change, on
//	                        all sync interfaces (else on all that carry the cluster's addresses), and again until a HELLO confirms it
//	20 POLICY       sealed  pieces of a policy from a member that has it to one that has not, and what each knows of an install
//
// A receiver drops a type that it does not know, and counts it.
//
// # Gate frames
//
// Their formats are frozen for good, so that gates of all versions understand each other. Reserved bytes are sent as 0 and not looked
// at. "Group" is the VIP group, 0 for the gateway itself; terms are 24 bits wide; 0 is no term.
//
//	PROBE                                          YIELD
//	 0  [8]byte   nonce                             0  [8]byte   nonce
//	 8  [4]byte   lease term of the sender          8  [4]byte   term asked for
//	12  [1]byte   group                            12  [1]byte   group
//	13  [1]byte   bits of the sender               13  [1]byte   bits of the sender
//	14  [34]byte  reserved                         14  [1]byte   kind: 1 courtesy, 2 claim, 3 graceful, 4 share
//	                                               15  [1]byte   reserved
//	                                               16  [4]byte   least age of the lease in ms, for courtesy
//	                                               20  [28]byte  reserved
//
//	REPLY and YIELD-REPLY: the gate after it has dealt with the frame
//	 0  [8]byte   nonce, copied
//	 8  [4]byte   lease term; without a lease that of the share, 0 without one
//	12  [1]byte   group, copied
//	13  [1]byte   bits of the gate
//	14  [2]byte   age of the lease in ms, saturating, without a lease that of the share; 65535 without either
//	16  [4]byte   term of the fence
//	20  [1]byte   grantee of the fence, 255 for nobody
//	21  [1]byte   result: 0 none, 1 granted, 2 refused, 3 lease too young, 4 wrong incarnation
//	22  [2]byte   reserved
//	24  [8]byte   for each member: ms since this gate heard it, saturating at 255; 0 for itself
//	32  [4]byte   count of frames for a VIP or VMAC that met a closed gate, low 32 bits
//	36  [12]byte  reserved
//
//	bits: 1 answer, 2 forward, 4 alone, 8 hears-you (the sender had a reply from the target within the dead interval),
//	16 restarting, 32 watched
//
// A YIELD names the target gate's incarnation in its header; with another one the result is "wrong incarnation" and nothing changes.
// Courtesy is granted only if the lease is old enough and the target not restarting; claim and graceful are unconditional, and after
// graceful and courtesy the target forwards on for its linger time. A term is granted once, to one member.
//
// A *share* is the right to forward beside the one who has the lease, in a cluster that shares load. It is like a lease, for the terms
// from the fence's on, whoever that was granted to. Any YIELD that is granted lets an open share linger, but for kind "share": that is a
// claim for which the target gives its share up at once. Gates that know nothing of shares drop that kind as malformed.
//
// # Sealed frames
//
// The body is the ciphertext and the tag of AES-256-GCM (16 bytes, at the end). The nonce is four zero bytes and the sequence; the
// additional data is the header without its tag, bytes 0..47. The plaintext is
//
//	[1]byte          n, the number of echoes
//	n x [17]byte     echo: member [1]byte, incarnation [8]byte of its daemon, newest sequence [8]byte heard of that incarnation
//	...              the body of the frame's type: TLVs
//	...              zeros, at least so many that the frame's body has 48 bytes
//
// A frame to one member echoes that member; a frame to all echoes everyone that was heard. A member may be echoed several times: see
// Incarnations. Frames are 1400 bytes long at most, header included.
//
// # Keys
//
// All members share a cluster key of 32 random bytes, from a file that root alone can read. Everything in use is derived from it with
// HKDF-SHA256, salt "holdfast ccp 1", and as info a word, a space and what the key is for, numbers as on the wire:
//
//	gate key     16 bytes  "gate " cluster id [2]byte
//	seal key     32 bytes  "seal " cluster id [2]byte, source [1]byte, incarnation of its daemon [8]byte
//	fingerprint   8 bytes  "name " cluster id [2]byte
//	tally key    16 bytes  "tally " cluster id [2]byte, of the hashes that tables are compared by
//
// A daemon draws a random incarnation whenever it starts, so no two lives seal under one key, and a life never uses a sequence
// twice. A key file holds one key or, while the cluster moves from one to the next, two, each with its number. Keys with numbers that
// agree in their low two bits share a gate's slot and cannot be held together. Rotation is by agreement, never by time: see Keyring.
//
// # HELLO
//
// A list of TLVs: type [2]byte, length of the value [2]byte, value. Type 0 ends the list. A reader skips types that it does not
// know and what a longer value holds beyond the fields that it knows; a value shorter than below is malformed, and so is one that
// runs over the end. The last TLV of a type counts. An absent one means zero (and no forced hand-over). ms are [4]byte and saturate;
// an age of 2^32-1 is "never".
//
//	 1 state         state [1]byte, lease term [4]byte, priority [1]byte, flags [1]byte: 1 restarting, 2 admin down, 4 stopping
//	 2 view          entry length [1]byte; for each member from 0: state [1]byte, ms since its gate answered, ms since its HELLO;
//	                 the state of one that is silent to probes, while its HELLOs say that it serves, is what those say
//	 3 interfaces    entry length [1]byte; for each, at most 16: slot [1]byte, flags [1]byte: 1 carrier, 2 problem, 4 proven,
//	                 8 undecided; members heard [1]byte, a bit each; ms since: the carrier changed, CCP came in, CCP was proved to
//	                 go out, a station that is no member was heard
//	 4 devices       flags [1]byte: 1 truncated; for each: status [1]byte, name, reason; texts are a length [1]byte and bytes,
//	                 printable ASCII; 32 and 64 at most, all devices 312 bytes at most: reasons are shortened before any is left out
//	 5 policy        generation [8]byte, ms left of a freeze
//	 6 config        [32]byte, digest of the cluster-wide configuration
//	 7 mode          mode [1]byte, recovery [1]byte
//	 8 version       protocol version [4]byte, build: a text of 24 bytes at most
//	 9 capabilities  [8]byte, bits
//	10 load          CPU in thousandths [2]byte; latest probe, lease renewal, softirq in the last second, in us [4]byte each
//	11 forced        member named [1]byte, 255 nobody; ms left; number [8]byte: the higher is the newer order; flags [1]byte, which
//	                 older senders leave out: 1 done, the member named has served since
//	12 budget        voluntary moves left [1]byte, of [1]byte, ms for which none are made
//	13 boot          [16]byte, id of the machine's boot
//	14 keys          number in use [1]byte; for each key held: number [1]byte, fingerprint [8]byte
//	15 weight        sum of the weights of all problems [4]byte, devices left out [1]byte
//	16 sync          incarnation of the sync plane [8]byte, role [1]byte, flags [1]byte: 1 current, 2 at risk; entries [4]byte and
//	                 digest [8]byte of the tally; of the peer furthest behind: records not acknowledged, ms since the oldest, [4]byte
//	                 each; newest sequence of the delta lane [8]byte
//	17 flush         number of a question to the member that serves, from the one that is about to take over by order [4]byte: let
//	                 everybody have what you know of connections; number of the last question that the sender has answered so [4]byte
//	18 share        of the newest table of slots that the sender goes by: term, number [4]byte each, phase, and who made it,
//	                255 not known [1]byte each; term of the sender's share, 0 without [4]byte; flags [1]byte: 1 open, 2 flushed: all have what it knows of the connections
//	                that it loses by the table, 4 leaving: it wants no slots any more, 8 dropped: it cannot take any, 16 the weights
//	                were ordered, else the configuration's hold, 32 fit: it could carry a share, and has the connections of those who do; member whose tables it takes, 255 nobody [1]byte; of the newest
//	                order of weights that it knows of: number, 0 none [4]byte, and the member that it was given to [1]byte; for each
//	                member its weight [2]byte; fingerprint of the settings by which packets are sorted and passed on [8]byte, which older
//	                senders leave out
//	19 traffic      packets since the gate was loaded, [8]byte each: taken, their bytes, passed to others, corrected, passed in by
//	                others, duplicates of those, of unknown connections, other members'
//	20 policy state  digest of the policy in force [32]byte, 0 for none; the newest install that the sender knows of: attempt; state in it
//	                [1]byte, decision on it [1]byte, flags [1]byte, sent as 0; highest generation on the sender's disk [8]byte
//
//	state: 1 INIT 2 READY 3 STANDBY 4 ACTIVE 5 ACTIVE(!) 6 DOWN 7 LOST    status: 1 ok 2 init 3 problem
//	mode: 1 ha 2 load sharing, multicast 3 load sharing, unicast          recovery: 1 maintain-current 2 highest-priority
//	attempt: number [8]byte, generation [8]byte, digest [32]byte; all 0 for none
//	its state: 0 none 1 loading 2 prepared 3 committing 4 committed 5 aborted 6 refused 7 confirmed 8 rolling back 9 rolled back
//	its decision: 0 unknown 1 commit 2 abort 3 confirmed 4 rolled back
//
// # SLOTS
//
// A list of TLVs, as in a HELLO, of which one is known:
//
//	1 table         term, number [4]byte each, phase [1]byte: 1 prepare, 2 commit; for each member the term under which it may hold
//	                its share [4]byte, 0: it may not; secret of the hash that sorts packets into slots [16]byte, never 0; for each of the
//	                1024 slots [1]byte: bits 0-2 the member that takes it, bits 3-5 the one that is to take it next, 64 it moves from one
//	                to the other, 128 nobody takes it
//
// The secret of the hash is drawn by the first leader and goes with the table from then on: a rotation of cluster keys moves no traffic.
// Tables are ordered by term, number and phase. A member takes only newer ones than its own, from a sender that its own gate's fence
// does not contradict: the table's term, or that of the member's own share in it, is no lower than the fence's.
//
// # POLICY
//
// From one member to another. The body is a list of parts, several of a kind if need be: kind [1]byte, reserved [1]byte, length of the value
// [2]byte, value. Kind 0 ends the list. A reader skips kinds that it does not know, and what a longer value holds beyond the fields that
// it knows, but for those that end in a list or in bytes; a value shorter than below is malformed, and so is a part that runs over the end.
//
//	1 want      digest [32]byte of a policy, what [2]byte: 0 its head, n its piece n-1; ranges of bytes of that, 16 at most, to the
//	            end: offset, length [4]byte each
//	2 data      digest [32]byte, what [2]byte, length of all of it [4]byte, offset [4]byte, bytes to the end
//	3 none      digest [32]byte: the sender has no such policy
//	4 asked     attempt: what does the target know of this install?
//	5 told      attempt; decision [1]byte, flags [1]byte, sent as 0; policy in force at the sender: generation [8]byte, digest [32]byte
//
// Heads and pieces are those of package policy, as a file has them, so a receiver knows by the signature and the digests what is genuine,
// whoever sent it. How much is asked for at once, and again, is package policy/transfer's.
//
// # SYNC
//
// The sync plane is a part of the daemon that seals and opens for itself: its frames have an incarnation, sequences, a replay window
// and echoes of its own (those of its peers' sync planes), independent of the HELLOs'. The gate's incarnation and stamp in the header
// are the same as in any frame. A frame has one member as its target. Each leaves on every sync interface at once, the same bytes:
// the replay window takes the first copy that arrives. Only bound frames count, and every 100 ms at least there is one, so that two
// planes which hear each other are bound soon.
//
// The body is a list of parts, several of a kind if need be: kind [1]byte, lane [1]byte, length of the value [2]byte, value. Kind 0
// ends the list. A reader skips kinds that it does not know, and what a longer value holds beyond the fields that it knows, but for
// those that end in a list; a value shorter than below is malformed, and so is a part that runs over the end: then all the rest of
// the body is left alone.
//
//	1 status    role [1]byte, flags [1]byte: 1 current, 2 stopping, 4 the target is evicted, 8 takes packed records; losses of
//	            events [2]byte, lease term [4]byte, entries [4]byte and digest [8]byte of the tally; in load sharing, slot table
//	2 batch     log [8]byte, sequence [8]byte, floor [8]byte: the lowest sequence that can still be sent to the target; records to the
//	            end. With sequence 0 it has none: it tells the floor, and wants an ack
//	3 ack       log [8]byte, sequence wanted next [8]byte: all below were taken; ranges held above it: first, last [8]byte each,
//	            ascending, 32 at most, to the end
//	4 gap       log [8]byte; ranges asked for, as in ack
//	5 credit    log [8]byte, bytes of records that may be sent since the log's start [8]byte
//	6 request   log [8]byte, want [1]byte: 1 words, 2 repair, 3 nothing, 4 fresh words, 5 records to read, 6 elements of sets; sequence of the target's
//	            delta lane up to which the asker has applied [8]byte, first credit [8]byte, buckets [128]byte: bit i%8 of byte i/8
//	            stands for bucket i; in load sharing, slot table: that by which the target owns them
//	7 answer    log [8]byte, result [1]byte: 1 accepted, 2 busy, 3 unfit; records to come, about [4]byte
//	8 addresses of the sender's host, 32 at most, instead of those told before; for each: length [1]byte: 4 or 16, flags [1]byte: 1 on the
//	            loopback device; address
//
//	slot table: fingerprint of what sorts connections into buckets [8]byte, term [4]byte, number [4]byte, flags [1]byte: 1 committed
//
//	lane: 0 none (status, addresses), 1 delta, 2 bulk (credit, request and answer too)    role: 1 owner, 2 copy, 3 off
//
// A lane carries logs of batches from one member to another, numbered from 1, applied in order. A batch holds whole records and fits
// one frame; it is sent again under the same number until an ack has it. In lane 1, delta, there is one log, of the sender's changes,
// with one numbering for all targets: its name is the incarnation of the sender's sync plane. In lane 2, bulk, the target's request
// names the log that answers it, with a number that the asker counts up for its own incarnation: a higher one ends what came before.
// A request is repeated until an answer or a batch comes. Of what is below the floor nothing is waited for: a receiver that is new, or
// was evicted, goes on from there, and what it missed only a repair can give it.
//
// A record is
//
//	length      [2]byte  // of head and attributes; with padding 1024 bytes at most
//	table       [1]byte  // 1 connections, 2 expectations, 3 elements of sets, 4 digest mark; in the bulk lane also 16 words, 17 end
//	op          [1]byte  // 1 new, 2 update, 3 delete; 1 in marks, words and ends
//	family      [1]byte  // 2 IPv4, 10 IPv6; 0 where there is none
//	reserved    [3]byte
//	attributes           // to the length; zeros up to a multiple of 4 bytes follow
//
// The attributes of tables 1 and 2 are netlink's, rewritten so that a kernel takes them: package dataplane/conntrack/record. Those of
// 3 are said in dataplane/nftset. Those of 4 are the sum of the owner's tally at this point of the lane: entries [8]byte, digest
// [8]byte; in load sharing that of the buckets which the sender takes, without those about to move, and then a slot table, flags 2 there
// saying that the sum is not known, and three zeros: up to the next mark the lane speaks by that table. Words are the number of the first bucket [2]byte, then for each bucket the XOR of its Prints [8]byte and the count of its
// entries [4]byte; they tell the buckets in several records. An end says the sequence of the sender's delta lane at the end of its
// dump [8]byte, how many entries were sent [4]byte, flags [1]byte: 1 complete.
//
// Records may come packed, to a target that says so: a byte 255, and then for each record its length with padding in words of 4 bytes,
// less one [1]byte; for each 8 of these words, or what is left of them, a byte whose bit i says that word i of them is given; the words that are
// given. Those that are not are as in the record's model: the last record of the batch whose length in words is the same modulo 64, or, if
// there is none, the last one; beyond its end, and before the first record, zero. Unpacked, a batch has 16384 bytes at most. A sender of
// the delta lane, whose batches are the same for all targets, packs only what it makes while all of them take it.
//
// # Incarnations
//
// What was recorded can be sent again, under keys that are still good. Two things keep it from changing anything.
//
// The replay window: per source and incarnation a receiver remembers the 1024 newest sequences and takes each once, in any order;
// what is older than all of them is dropped.
//
// The echo: a frame is *bound* if its echo list holds the receiver's current incarnation, and it comes from the sender's current
// incarnation. Only bound frames change state. An incarnation becomes a sender's current one, for a receiver, in one way: it first
// is a candidate, heard and echoed, and then a frame of it echoes a sequence that the receiver sent after it had first heard the
// candidate. No recording can know one. The incarnation before it is retired, and dropped at sight. So after a restart on either
// side two members are bound after two frames each, which they send at once, and a flood of recordings delays that at worst: a
// receiver keeps two candidates a peer, prefers those that echo a stamp of its own gate from the last second, and else lets chance
// decide between incarnations, not between frames.
//
// # Who checks what
//
// The gate, in the kernel, before any socket sees a frame: length, version, cluster, target, key slot, tag. It answers PROBE and
// YIELD and passes REPLY, YIELD-REPLY and sealed frames up. A frame is *fresh* if it echoes the gate's incarnation with a stamp of the
// last second and has a sequence above the last one from that source, incarnation and interface; replies that are not fresh are
// dropped, and other frames that are not take from a bucket of 1000 a second per interface and source. Each drop is counted by reason.
//
// The pulse takes a REPLY only for a nonce that is outstanding.
//
// The daemon checks everything again, since there may be sockets without a gate, and then key number, incarnation, window, seal, echo
// list: in the order of DropReason. Each drop is counted by reason.
//
// # Evolution
//
// Numbers (types, TLVs, states, reasons) are only ever appended and never given a second meaning; zero is invalid everywhere. Gate
// frames never change. Sealed bodies grow by TLVs and by fields at the end of values and entries. A field that an older reader must
// not ignore gets a new type. Another header is another version, and members of both must be able to run side by side for the time
// of an upgrade: the sender of the newer sends both.
//
// # Threat model
//
// The trust boundary is possession of the cluster key: who holds it is a member and can do all that a member can. Anybody else on
// the segment may read every frame, send any, hold back, repeat and reorder them, at any rate, and is meant to be unable to change the
// state of a member, to learn what sealed frames say, or to keep members that hear each other from understanding each other. He can
// cut them from each other, as who pulls a cable can; he sees who serves, since gate frames are not encrypted; and he may guess at a
// 64-bit tag, which a gate checks at line rate and which buys one frame of a kind that the echo and the nonce still bind. Compromise
// of the key discloses what was recorded under it: seal keys are derived, not agreed upon.
package ccp
