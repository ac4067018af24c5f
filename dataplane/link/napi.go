// SPDX-License-Identifier: Apache-2.0

package link

import "strconv"

func priorityText(p int) string { return strconv.Itoa(p) }

func setNAPI(index int, value string) error { return nil }

func resetNAPI(index int) error { return nil }
