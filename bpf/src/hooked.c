/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells whether the kernel tracks connections in the network namespace of who runs this, and whether it may translate what begins. No file does, and
 * netlink's list of hooks is not in every kernel: both are hooked in while some rule needs them, and no longer.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

#define POST_ROUTING 4
#define LAST 0x7fffffff /* NF_IP_PRI_CONNTRACK_CONFIRM: where new connections enter the table, behind everything else */
#define NAT_SRC 100 /* NF_IP_PRI_NAT_SRC: where translation is hooked in, whatever a rule's chain has for a priority (nf_nat_proto.c) */
#define MOST 64 /* hooks that are looked at */

/* The parts of the kernel's structures that are read, wherever they lie in the running one. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct nf_hook_ops {
	int priority;
};

struct nf_hook_entry {
	void *hook;
	void *priv;
};

struct nf_hook_entries {
	__u16 num_hook_entries;
	struct nf_hook_entry hooks[];
};

struct netns_nf {
	struct nf_hook_entries *hooks_ipv4[POST_ROUTING + 1];
	struct nf_hook_entries *hooks_ipv6[POST_ROUTING + 1];
};

struct net {
	struct netns_nf nf;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	struct nsproxy *nsproxy;
};

#pragma clang attribute pop

/* The hooks are in the order of their priorities, and behind them are pointers to what they were made from, which has the priority. */
static __always_inline bool has_priority(const struct nf_hook_entries *all, __u16 count, __u16 at, int priority)
{
	const struct nf_hook_ops *ops = NULL;

	if (bpf_probe_read_kernel(&ops, sizeof(ops),
				  (const void *)all + bpf_core_field_offset(all->hooks) +
					  count * bpf_core_type_size(struct nf_hook_entry) + at * sizeof(ops)))
		return false;
	return BPF_CORE_READ(ops, priority) == priority;
}

#define IS_TRACKED 1
#define IS_TRANSLATED 4 /* it may be: another chain of that priority looks the same */

static __always_inline int hooked(const struct nf_hook_entries *all)
{
	__u16 count = 0;
	int is = 0;

	if (!all || BPF_CORE_READ_INTO(&count, all, num_hook_entries) || !count)
		return 0;
	if (has_priority(all, count, count - 1, LAST))
		is |= IS_TRACKED;
	if (count > MOST)
		return is | IS_TRANSLATED;
	for (__u16 i = 0; i < MOST && i < count; i++) {
		if (has_priority(all, count, i, NAT_SRC))
			is |= IS_TRANSLATED;
	}
	return is;
}

SEC("tc")
int holdfast_hooked(struct __sk_buff *skb)
{
	struct task_struct *me = (void *)bpf_get_current_task();
	struct net *net = BPF_CORE_READ(me, nsproxy, net_ns);

	return hooked(BPF_CORE_READ(net, nf.hooks_ipv4[POST_ROUTING])) | hooked(BPF_CORE_READ(net, nf.hooks_ipv6[POST_ROUTING])) << 1;
}
