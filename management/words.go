// SPDX-License-Identifier: Apache-2.0

package management

import (
	"fmt"
	"slices"
	"strings"
)

// word is what v is called; a value without a word is a mistake of the program, and is shown as its number.
func word[T ~uint8](words map[T]string, v T) string {
	if s, ok := words[v]; ok {
		return s
	}
	return fmt.Sprintf("%d", v)
}

func marshalWord[T ~uint8](what string, words map[T]string, v T) ([]byte, error) {
	s, ok := words[v]
	if !ok {
		return nil, fmt.Errorf("%s %d: %w: it has no word", what, v, ErrValue)
	}
	return []byte(s), nil
}

func unmarshalWord[T ~uint8](what string, words map[T]string, v *T, text []byte) error {
	var all []string
	for value, s := range words {
		if s == string(text) {
			*v = value
			return nil
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return fmt.Errorf("%s %q: %w: one of %s", what, text, ErrValue, strings.Join(all, ", "))
}
