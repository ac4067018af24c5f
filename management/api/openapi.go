// SPDX-License-Identifier: Apache-2.0

package api

import _ "embed"

//go:embed openapi.yaml
var document []byte

// Document is the description of the API in OpenAPI 3.1, as /v1/openapi.yaml gives it. It must not be changed.
func Document() []byte { return document }
