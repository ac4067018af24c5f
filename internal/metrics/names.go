// SPDX-License-Identifier: Apache-2.0

package metrics

// Names of all series. They are part of the product: dashboards and alert rules in deploy/ use them, and a test compares.
const (
	NameBuildInfo      = "holdfast_build_info"
	NameConfigInfo     = "holdfast_config_info"
	NameConfigReloads  = "holdfast_config_reloads_total"
	NameMemberState    = "holdfast_member_state"
	NameMemberTerm     = "holdfast_member_lease_term"
	NameMemberServing  = "holdfast_member_serving"
	NameDeviceStatus   = "holdfast_device_status"
	NameMonitorStatus  = "holdfast_monitor_status"
	NameMonitorTook    = "holdfast_monitor_last_check_duration_seconds"
	NameMonitorChecks  = "holdfast_monitor_checks_total"
	NameInterfaceUp    = "holdfast_interface_up"
	NameFailovers      = "holdfast_failovers_total"
	NameTakeover       = "holdfast_takeover_duration_seconds"
	NameGap            = "holdfast_failover_gap_seconds"
	NameConflicts      = "holdfast_conflicts_total"
	NameCCPFrames      = "holdfast_ccp_frames_total"
	NameCCPDrops       = "holdfast_ccp_dropped_frames_total"
	NameProbeRTT       = "holdfast_probe_rtt_seconds"
	NameProbes         = "holdfast_probes_total"
	NameSilence        = "holdfast_peer_silence_seconds"
	NameRenewals       = "holdfast_lease_renewals_total"
	NameRenewalWorst   = "holdfast_lease_renewal_worst_delay_seconds"
	NamePulseWorst     = "holdfast_pulse_worst_lateness_seconds"
	NamePulseRestarts  = "holdfast_pulse_restarts_total"
	NameSoftirqWorst   = "holdfast_softirq_worst_delay_seconds"
	NameFenceTerm      = "holdfast_gate_fence_term"
	NameGateEvents     = "holdfast_gate_events_total"
	NameAnnouncements  = "holdfast_announcements_total"
	NameKeyNumber      = "holdfast_cluster_key_number"
	NameEventsDropped  = "holdfast_control_events_dropped_total"
	NameStateChanges   = "holdfast_state_changes_total"
	NameTimer          = "holdfast_timer_seconds"
	NameYieldsReceived = "holdfast_yields_total"
	NameNotifications  = "holdfast_notifications_total"
	NameHistory        = "holdfast_history_writable"
	NameCPU            = "holdfast_member_cpu_ratio"
	NameLateness       = "holdfast_member_lateness_seconds"
	NameMargin         = "holdfast_margin_used_ratio"

	NameSyncStatus      = "holdfast_sync_status"
	NameSyncRole        = "holdfast_sync_role"
	NameSyncCurrent     = "holdfast_sync_current"
	NameSyncEntries     = "holdfast_sync_entries"
	NameSyncEqual       = "holdfast_sync_equal"
	NameSyncEvicted     = "holdfast_sync_evicted"
	NameSyncUnacked     = "holdfast_sync_unacked_records"
	NameSyncUnackedAge  = "holdfast_sync_unacked_age_seconds"
	NameSyncLagRecords  = "holdfast_sync_lag_records"
	NameSyncLag         = "holdfast_sync_lag_seconds"
	NameSyncHeld        = "holdfast_sync_delayed_connections"
	NameSyncFullRunning = "holdfast_sync_full_sync_running"
	NameSyncFullDone    = "holdfast_sync_full_sync_records"
	NameSyncFullTotal   = "holdfast_sync_full_sync_expected_records"
	NameSyncInterfaceUp = "holdfast_sync_interface_up"
	NameSyncQueue       = "holdfast_sync_queued_records"
	NameSyncInject      = "holdfast_sync_inject_queue_bytes"
	NameSyncLog         = "holdfast_sync_log_bytes"
	NameSyncEvents      = "holdfast_sync_events_total"
	NameSyncSkipped     = "holdfast_sync_skipped_events_total"
	NameSyncEventsLost  = "holdfast_sync_event_losses_total"
	NameSyncRecords     = "holdfast_sync_records_total"
	NameSyncBatches     = "holdfast_sync_batches_total"
	NameSyncReceived    = "holdfast_sync_received_records_total"
	NameSyncApplied     = "holdfast_sync_applied_records_total"
	NameSyncRefused     = "holdfast_sync_refused_records_total"
	NameSyncDropped     = "holdfast_sync_dropped_frames_total"
	NameSyncErrors      = "holdfast_sync_kernel_errors_total"
	NameSyncReconciled  = "holdfast_sync_reconciliation_total"
	NameSyncBytes       = "holdfast_sync_bytes_total"
	NameSyncFrames      = "holdfast_sync_frames_total"
	NameSyncEvictions   = "holdfast_sync_evictions_total"
)

// States are the values of the label "state"; SetState exports all of them for each member, exactly one being 1.
var States = []string{"INIT", "READY", "STANDBY", "ACTIVE", "ACTIVE(!)", "DOWN", "LOST"}

// statuses are the values of a critical device.
var statuses = []string{"ok", "init", "problem"}

// FailoverReasons are the values of the label "reason" that are there from the start.
var FailoverReasons = []string{"boot", "silence", "vacant", "forced", "device", "courtesy", "fail-back", "conflict", "unseen"}
