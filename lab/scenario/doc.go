// SPDX-License-Identifier: Apache-2.0

// Package scenario owns the laboratory's scenarios: readable text files that say on which topology, with which cluster and
// traffic, what is done and what must be seen. It parses them and runs them.
//
// # The text
//
// One statement a line; '#' starts a comment; indentation is for the eye. A file has a title and up to four blocks, of which
// only steps is required:
//
//	scenario power-off
//	about    The serving member loses power.
//
//	topology
//	  members 2                    # 2 to 8: fw1, fw2, ...
//	  clients 1                    # client1, ... on the segment that has "clients"
//	  servers 1
//	  published 2                  # servers on segments that have "published": public1, ...; 1 if there is such a segment
//	  managers 1                   # management servers on segments that have "managers": mgmt1, ...; 1 if there is such a segment
//	  segment ext cluster clients  # NAME ROLE [clients|servers|published|managers]; default: ext, int (cluster) and sync (sync)
//	  vips 1000                    # IPv4 addresses on each cluster segment
//	  route-vip -1                 # which of them is the end stations' router; -1 is the last
//	  slaac                        # clients wait for a router advertisement
//	  threaded-napi                # members receive in NAPI threads
//	  snooping                     # switches snoop multicast
//
//	cluster
//	  mode unicast                 # load sharing, or multicast; default: high availability
//	  sharing weights: {fw1: 30, fw2: 70}   # a line of YAML of the section load-sharing
//	  profile fast                 # words of the cluster's configuration
//	  recovery highest-priority
//	  transport multicast
//	  timer hold-down 1s
//	  vmac false
//	  attach tcx
//	  neighbours none
//	  boot later fw3               # these members are off at first
//	  interface sync monitored: false   # a line of YAML for the interface of a segment
//	  version fw3 next             # this member's daemon is holdfastd-next
//	  ruleset stateful             # members load package ruleset's rules at boot, before their daemons start
//	  ruleset sharing              # the one for load sharing, with segments ext, int and dmz
//	  ruleset                      # or nftables text of the scenario's own, indented further; both are added up
//	    table inet more { ... }
//	  sysctl netfilter/nf_conntrack_udp_timeout 4   # members set it at boot; below /proc/sys/net
//	  management                   # holdfast-mgmt on the managers' segment, with the cluster in it; members are enrolled before they start
//	  management etcd              # likewise, its store in an etcd on mgmt1: for several servers
//	  policies enforce: true       # a line of YAML of the section policy
//	  policy NAME udp dport 9100 accept   # a ruleset that steps install: ruleset.Policy with that in its chain forward
//	  policy NAME                  # likewise in full: all lines that are indented further, as they are
//	    table inet gateway { ... }
//	  yaml                         # more of cluster.yaml: all lines that are indented further, as they are
//	    devices: {weights: {disk: 3}}
//
//	traffic
//	  udp 1000                     # packets a second, both ways, IPv4 and IPv6, client1 and server1
//	  udp 1000 v4 priority 20      # one family only; SCHED_FIFO priority of the senders
//	  tcp                          # a stream beside it
//	  probe                        # ask for VIPs by ARP and ND on every cluster segment, record who answers
//	  paths                        # see which member forwards what; see package paths
//	  conversation ssh             # a connection that lives from the step converse on; see package conversation for the kinds
//	  conversation ftp v6 from server1 to client1 hold 2s
//	  conversation udp to vip times 20              # to the gateway's address on the client's segment, for a DNAT rule
//	  conversation download size 1GB over 20s       # compared byte by byte
//	  conversation ssh to vip port 2222             # not at the kind's own port
//	  conversation mix 2000 every 250ms             # TCP connections, long and short, translated in every way; for ruleset sharing
//	  conversation everything      # each kind over IPv4 and IPv6: straight, from server1 to client1, and from client1 to vip
//
//	steps
//	  start-from fw1               # the cluster is at rest and fw1 serves
//	  mark                         # measurements start here
//	  after 300ms power-off fw1    # 300 ms after the end of the step before; "at 1s": after the mark
//	  expect active fw2 within 100ms
//	  wait 500ms
//	  expect gap <= 50ms
//
// # Steps
//
//	start-from M                             wait until the cluster is at rest, with a hand-over if need be so that M serves
//	mark [TEXT]                              measurements (gap, lost, ...) and "at" count from here
//	note TEXT                                a line in the timeline
//	wait D                                   let time pass
//	wait until CONDITION within D            the scenario ends with an error if it does not come true
//	expect CONDITION [within D]              a check of the verdict; the scenario goes on either way. What the members come to (a state, a device, a
//	                                         slot, a policy in force, an event) has ten seconds to come true when the line does not say; what
//	                                         must never have been (lost, gap, answers-by-two, == 0 of what is counted) is judged at once
//	power-off M, power-on M                  every process killed and every port down; a boot with a fresh kernel state
//	boot M                                   switch on a member that was left for later
//	boot-all                                 all members that are off, at the same time
//	kill M [main|pulse]                      SIGKILL, nobody restarts it
//	stop M [main|pulse], continue M [...]    SIGSTOP, SIGCONT
//	start M, restart M                       start a killed daemon; restart as systemd does
//	failover to M [for D]                    a hand-over by the operator
//	admin down M [permanent], admin up M
//	unplug N SEG [node|switch], plug ...     pull the cable at one end, at the switch if not said
//	switch-down SEG [stagger D], switch-up SEG [stagger D]
//	cut N SEG|all from|to|both [ethertype 0x88b5|ccp TYPE], uncut N SEG|all
//	lose N SEG|all from|to|both 20% [ccp TYPE]   0% ends it; TYPE is that of a frame of CCP, like sync or hello
//	duplicate N SEG|all from|to|both 50%
//	split SEG|all A,B | C,D                  nodes of different groups do not hear each other
//	join SEG|all
//	flood SEG garbage|replay RATE, flood-stop SEG   frames a second, from a station on the segment
//	converse [within D]                      begin the conversations, wait until each has had an exchange, and mark
//	no-new-connections                       from now on members that are on forward only what their tables know
//	churn RATE [udp|tcp] [v6] [from N] [to N|vip] [answer] [close] [count N]   new connections a second, until count or
//	churn-stop                               the end of all of them; see package churn
//	too-big COUNT [v6] [from N] [to N|vip]   a router beyond the gateway says of so many flows that a packet was too big; package pmtu
//	load weight M = N, load reset            of load sharing, as the operator does
//	owners                                   notes which member forwards each conversation, for "of"
//	cpu M 90%                                what its daemon reads of its processors from now on, until it is switched off
//	stress ARGUMENTS, stress-stop            stress-ng
//	pause M, resume M                        the whole machine; see package fault
//	clock-step D                             the host's wall clock, only if allowed
//	exec N COMMAND ARGS...                   a command on a node; it must succeed
//	device M register NAME [timeout D] [state ok|init|problem] [persist]
//	device M report NAME ok|init|problem [REASON], device M unregister NAME
//	devices M register COUNT                 device-1, device-2, ..., all ok
//	freeze M [for D], unfreeze M             no voluntary moves
//	version M this|next|later                of which build its daemon is from its next start on (see members.Build)
//	upgrade M [to this|next|later]           restart of its daemon from that build, next if not said; its gate serves on
//	configure M KEY: VALUE                   a cluster.yaml of its own that differs in this, from its next start or reload on
//	configure M as-others, reload M
//	serve tcp|http PORT on N [status CODE]   something listens there (and answers HTTP with the status), until
//	serve-stop PORT on N
//	run N COMMAND ARGS..., end N             a command that goes on; end kills all that runs so on N
//
//	management kill|stop|continue|start [N]  its server on a node, mgmt1 if not said
//	management backup NAME, management restore NAME [N]   restore while the server does not run
//	policy install NAME [best-effort] [confirm-within D] [prepare-within D] [keep FAMILY TABLE SET] [rematch] [refused] [TEXT]
//	                                         as the operator does, until it has ended; TEXT occurs in what management says
//	policy begin NAME [...], policy end [refused] [TEXT]   the same beside other steps
//	policy rollback [GENERATION] [...], policy confirm [...], policy cancel [...]
//
// In exec and run, words in double quotes are one, and {dir} is the cluster's directory, as it is in a yaml paragraph.
//
// # Conditions
//
//	active M                                 it says ACTIVE or ACTIVE(!), and no other member does
//	attention [M]                            one member, M if named, is ACTIVE(!), and all others that are on are DOWN
//	at-rest                                  one member is ACTIVE, all others that are on are STANDBY; in load sharing all serve
//	leader M                                 M, and no other, answers for the gateway's addresses
//	untranslated == none|IPv4|IPv6|both      of which families no connection is translated, as all members say
//	slots settled                            all members go by one table in which every slot has a taker and none moves
//	slots M OP N                             how many slots M takes, as all members say
//	shares within P%                         each member forwarded the part of the churns' connections that its weight gives it, but
//	                                         for P % of that, since the mark
//	too-big reached|told|untold|wrong OP N   of all these flows: whose packet came, whose socket heard the right size, did not, or a wrong
//	paths numbered|both|apart|twice OP N     of the churns' connections since the mark: all that were seen, seen both ways, both ways
//	                                         through different members, and packets through two members
//	states M=STATE ...                       each as it says itself; one that does not answer, as the others see it
//	no-state-change for D                    none during D
//	transitions [M] OP N                     changes of state since the mark
//	moves OP N                               members that began to serve since the mark
//	event CODE on M [TEXT], no event CODE on M [TEXT]   since the mark; TEXT occurs in the reason
//	counter GROUP.NAME on M|all OP N         growth since the mark; NAME may end with *, then it is a sum
//	lost OP N, gap OP D, duplicated OP N     of the UDP traffic since the mark; gap: the longest of all flows
//	                                         what is lost as the host stands still, or 100 ms after, is told and does not count; see package stall
//	tcp-gap OP D                             the longest stop of the TCP stream since the mark
//	tcp-resets OP N                          its connections that ended before they should
//	conversations alive|finished OP N [KIND] how many; "== all": as many as there are
//	conversations going OP N [KIND]          how many live, and have finished or got something since this was first looked at
//	conversations gap OP D [KIND]            the longest stop of any since the mark
//	conversations lost OP N [KIND]           datagrams that did not come, and pages of kind web, over the whole run
//	conversations resent OP N [KIND]         segments of kind ssh that either end sent again since the mark, and not because they were late: the
//	                                         other end tells of those a moment later, so this is waited for too
//	conversations stalled > D OP N           how many stood still for longer than D since the mark
//	conversations ... of M,M | not-of M      only those that these members forwarded, or others did, at the last step owners
//	ftp-holding                              every FTP client has agreed on a data connection and not opened it yet
//	gateway-resets OP N                      RSTs that members made since the mark; see package reset
//	churn opened|answered|unanswered|closed|skipped|rate OP N   of all churns of the run together
//	tables equal                             all members that are on have the connections and expectations of the one that serves,
//	                                         in the same state, as the conntrack command lists them
//	entries on M OP N                        how many of these a member has
//	sync M == ok|at-risk|off [TEXT]          what a member says of synchronisation; TEXT occurs in the reason
//	verified M == equal|different            what "holdfast sync verify" says on M
//	memory M [growth] OP N                   resident memory of its daemon in MiB, or by how much it grew since the mark
//	answers-by-two OP N, dual OP D           VIPs answered by two members, how many probes and for how long
//	forwarded-by-two OP N                    packets that left through two members
//	served-by M                              M answered all the latest probes
//	device NAME on M == ok|init|problem|gone [TEXT]     TEXT occurs in the reason
//	interface SEG on M == UP|DOWN|undecided|non-monitored [TEXT]
//	why M ~ TEXT                             TEXT occurs in the first line of "holdfast why" on M
//	policy M|all OP GENERATION               in force on a member, or on all that are on; 0: none
//	policy M|all drift OP N                  differences between the kernel and what is in force
//	policy M|all attempt STATE               where it is in the newest install
//	policy M|all fetched-from M|management OP N   policies that it took from there since its daemon's start
//	policy M|all boot-filter on|off
//	history M OP N                           failovers that M remembers
//
// OP is one of == != <= >= < >. Durations are written 10ms, 3s, 2m.
//
// The package sees everything in the laboratory but its commands, and is seen by its commands only.
package scenario
