// SPDX-License-Identifier: Apache-2.0

// Command holdfast-lab breaks gateways in a laboratory of network namespaces and tells what came of it.
//
//	holdfast-lab run FILE...          run scenarios, print their timelines and verdicts
//	holdfast-lab up FILE              build a scenario's topology and cluster and keep them open
//	holdfast-lab do STEP              carry out one step of a scenario there
//	holdfast-lab exec NODE -- CMD     run a command on one of its nodes
//	holdfast-lab down                 end it
//	holdfast-lab list                 laboratories on this host
//	holdfast-lab clean                remove what killed ones left
//
// Exit codes: 0 all is well; 1 an expectation failed, or something could not be done; 2 the command line is wrong.
package main
