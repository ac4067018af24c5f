// SPDX-License-Identifier: Apache-2.0

// Package api is what is said between the management server and its members and people: the JSON types, the errors, the description in OpenAPI
// (Document), and a client for people and for members.
//
// It speaks HTTP over TLS 1.3 with certificates of management's own authority on both sides. A member is who its certificate says it is;
// nothing in a body names it. A person shows a token beside the certificate. Only POST /v1/enroll takes a connection without a certificate.
//
//	POST /v1/enroll                                    EnrollRequest    a certificate for a one-time token
//	POST /v1/member/report                             Report           held up to a second; answered with Orders
//	GET  /v1/member/policies/{generation}/{digest}                      a policy file (docs/POLICY.md)
//	POST /v1/member/renew                              RenewRequest     another certificate, before this one ends
//	/v1/clusters, /v1/users, /v1/tokens, /v1/certificates, /v1/audit, /v1/backup, ...   for people: openapi.yaml
//
// Every failure is an Error as JSON: what was refused, why, and the way out. Times are RFC 3339 but where the name says ms.
//
// It imports management and policy for the types that rest in the store as they are sent, and nothing that listens.
package api
