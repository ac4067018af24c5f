// SPDX-License-Identifier: Apache-2.0

package management

// Role is what a person may do. Each includes those before it. The zero value is none.
type Role uint8

const (
	_ Role = iota
	// Viewer sees everything but secrets, and changes nothing.
	Viewer
	// Operator installs, confirms and rolls back policies, and gives members their tokens.
	Operator
	// Admin adds and removes clusters and people, revokes certificates, and backs up.
	Admin
)

var roles = map[Role]string{Viewer: "viewer", Operator: "operator", Admin: "admin"}

// ParseRole reads the word.
func ParseRole(text string) (r Role, err error) {
	err = r.UnmarshalText([]byte(text))
	return r, err
}

// String is the word of the store, the API and people.
func (r Role) String() string { return word(roles, r) }

// MarshalText writes the word.
func (r Role) MarshalText() ([]byte, error) { return marshalWord("role", roles, r) }

// UnmarshalText reads the word.
func (r *Role) UnmarshalText(text []byte) error { return unmarshalWord("role", roles, r, text) }

// Includes reports whether who has r may do what needs the role needed.
func (r Role) Includes(needed Role) bool { return needed != 0 && r >= needed }

// User is a person.
type User struct {
	Name         string   `json:"name"`
	Role         Role     `json:"role"`
	Added        int64    `json:"added"`
	By           string   `json:"by"`
	Tokens       []string `json:"tokens,omitempty"`       // identifiers of those that are not revoked
	Certificates []string `json:"certificates,omitempty"` // serials of those that are not revoked
}

// Validate checks what an admin gives.
func (u User) Validate() error {
	if err := checkName("user", u.Name); err != nil {
		return err
	}
	_, err := u.Role.MarshalText()
	return err
}
