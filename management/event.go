// SPDX-License-Identifier: Apache-2.0

package management

// ActorKind is what somebody who does something is.
type ActorKind uint8

const (
	_ ActorKind = iota
	// ByServer: management itself: a take-over, a time that ran out.
	ByServer
	// ByMember: a member, by its certificate.
	ByMember
	// ByPerson: a person, by certificate and token.
	ByPerson
	// ByNobody: somebody who has not shown who it is.
	ByNobody
	// ByHost: who may run holdfast-mgmt on the server's own data: the first administrator, a restore.
	ByHost
)

var actorKinds = map[ActorKind]string{ByServer: "server", ByMember: "member", ByPerson: "person", ByNobody: "nobody", ByHost: "host"}

// String is the word of the store, the API and people.
func (k ActorKind) String() string { return word(actorKinds, k) }

// MarshalText writes the word.
func (k ActorKind) MarshalText() ([]byte, error) { return marshalWord("kind", actorKinds, k) }

// UnmarshalText reads the word.
func (k *ActorKind) UnmarshalText(text []byte) error {
	return unmarshalWord("kind", actorKinds, k, text)
}

// Actor is who did something, or tried to.
type Actor struct {
	Kind    ActorKind `json:"kind"`
	Name    string    `json:"name,omitempty"`    // a user's, CLUSTER/MEMBER, a server's host
	Address string    `json:"address,omitempty"` // where it came from
	Serial  string    `json:"serial,omitempty"`  // of its certificate
}

// String is what By of a record holds.
func (a Actor) String() string {
	if a.Name == "" {
		return a.Kind.String()
	}
	return a.Name
}

// Outcome is how what an event tells of ended.
type Outcome uint8

const (
	_ Outcome = iota
	// Done: it was done.
	Done
	// Refused: it was refused, and nothing changed.
	Refused
)

var outcomes = map[Outcome]string{Done: "done", Refused: "refused"}

// String is the word of the store, the API and people.
func (o Outcome) String() string { return word(outcomes, o) }

// MarshalText writes the word.
func (o Outcome) MarshalText() ([]byte, error) { return marshalWord("outcome", outcomes, o) }

// UnmarshalText reads the word.
func (o *Outcome) UnmarshalText(text []byte) error {
	return unmarshalWord("outcome", outcomes, o, text)
}

// Event is what the audit log tells of: one change, or one that was refused. It holds no secret.
type Event struct {
	Time    int64             `json:"time"`
	Actor   Actor             `json:"actor"`
	Action  string            `json:"action"` // "policy.add", "token.use", ...: see package records
	Cluster string            `json:"cluster,omitempty"`
	Object  string            `json:"object,omitempty"` // generation, attempt, serial, name
	Outcome Outcome           `json:"outcome"`
	Why     string            `json:"why,omitempty"` // of a refusal
	Detail  map[string]string `json:"detail,omitempty"`
}
