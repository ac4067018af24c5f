// SPDX-License-Identifier: Apache-2.0

// Package config turns cluster.yaml, one file for all members, into a typed and checked Cluster.
//
// It owns the file's keys, their defaults, every rule about their values, the digest by which members compare configurations, and
// what a reload may change. Nothing past the parser sees a raw string. Every problem is reported, all of them at once, as
//
//	cluster.yaml:14: interfaces[1].vips[0]: 10.0.0.1/33: prefix longer than 32; write the address alone or a prefix of at most 32
//
// that is file, line, path, value, problem and way out.
//
// It must not import any other package of the module but policy, which is pure and reads the file of management's keys: everyone may ask
// for the configuration, it asks nobody. It touches the file system only in Load and LoadKey.
package config
