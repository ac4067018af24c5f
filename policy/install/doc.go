// SPDX-License-Identifier: Apache-2.0

// Package install is a two-phase install as one member sees it: Machine takes events and returns effects; it knows no clock, no network, no
// kernel and no file.
//
// # The protocol
//
// Management numbers its attempts. It sends prepare to all; a member loads the policy asleep, writes down that it is prepared, and says so. If
// all have, management writes down its decision, commit, and sends it until each member has confirmed; if one refuses or does not answer in
// time, the decision is abort. A member that has said "prepared" has given its word: it neither commits nor aborts by itself.
//
// If it then hears nothing for Doubt, it asks: the peers first, and if none of them knows, management; again each Ask, for as long as it takes.
// One peer that has committed is enough, since management decided then; one that was told of the abort likewise. If all that answer are as
// unsure as it is, it stays prepared and serves with the policy that it has.
//
// # Confirmation
//
// A commit is not the end, unless its attempt says so (Attempt.Confirm): the new policy may have cut the member off. A member that has committed
// waits to be told that the attempt is confirmed, asks as it does in doubt, and if the time is over goes back to the policy before it, by itself.
// That decision is its own, so it must be one that the others can follow: it says so in its HELLO, and who is told so while it waits,
// or is prepared, goes back as well. The policy is declined from then on: recovery does not take it again, from wherever.
//
// Confirm is management's last word, which it writes down before it says so, and only once every member that committed has said that it hears what
// it heard before. A member that was told so is confirmed for good and tells its peers. One that has gone back by itself meanwhile, cut off
// from all that knew, takes the decline back when it hears of it, and recovery brings the policy again; so in the end all have the same.
//
// A HELLO tells of the newest attempt only. Where members differ in what an older one left, who cannot know asks: what it has by recovery and does not
// know to be confirmed while a peer has an older one, and what it declined while a peer has it.
//
// # Crashes
//
// What must survive a crash is in Durable: the effect Save comes before what depends on it, and is to be on the disk before the next one is
// performed. A commit that the kernel has made and the disk does not know is found by comparing the two (New).
//
// The package is pure and imports policy only.
package install
