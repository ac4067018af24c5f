// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the largest cluster.yaml in bytes: a thousand virtual addresses need a tenth of it.
const maxFile = 1 << 20

// scalar is one value as written.
type scalar struct {
	text string
	line int
	path string
	set  bool
}

// decoder fills raw structs from YAML nodes. Unlike yaml's own it goes on after a problem, knows the path of each, and tells a value
// that is missing from one that is empty.
type decoder struct{ *problems }

func (d decoder) file(data []byte) (rawFile, bool) {
	var raw rawFile
	if len(data) > maxFile {
		d.at(0, "", "split the cluster", "%d bytes, more than %d", len(data), maxFile)
		return raw, false
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		d.at(0, "", "start from deploy/cluster.yaml", "the file is empty")
		return raw, false
	case err != nil:
		d.syntax(err)
		return raw, false
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
	default:
		d.at(second.Line, "", "remove everything from the second --- on", "a second YAML document")
	}
	if len(doc.Content) != 1 {
		d.at(doc.Line, "", "start from deploy/cluster.yaml", "the file has no content")
		return raw, false
	}
	return raw, d.value(doc.Content[0], "", reflect.ValueOf(&raw).Elem())
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

func (d decoder) syntax(err error) {
	line, what := 0, err.Error()
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		what = m[2]
	}
	d.at(line, "", "mind indentation, colons and quotes", "not YAML: %s", shorten(what))
}

var (
	scalarType       = reflect.TypeFor[scalar]()
	trunkMonitorType = reflect.TypeFor[rawTrunkMonitor]()
)

// value fills v from n and reports whether n had the right kind.
func (d decoder) value(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.at(n.Line, path, "write the value in full", "anchors and aliases are not allowed")
		return false
	}
	switch {
	case v.Type() == scalarType:
		return d.scalar(n, path, v)
	case v.Type() == trunkMonitorType:
		return d.trunkMonitor(n, path, v)
	case v.Kind() == reflect.Struct:
		return d.structure(n, path, v)
	case v.Kind() == reflect.Slice:
		return d.list(n, path, v)
	default:
		return d.table(n, path, v)
	}
}

func (d decoder) scalar(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind != yaml.ScalarNode {
		d.at(n.Line, path, "write one value", "a %s where one value is expected", kind(n))
		return false
	}
	if n.Tag == "!!null" {
		d.at(n.Line, path, "give it a value or remove the key", "no value")
		return false
	}
	v.Set(reflect.ValueOf(scalar{text: n.Value, line: n.Line, path: path, set: true}))
	return true
}

// trunkMonitor takes a word or a list of names.
func (d decoder) trunkMonitor(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind == yaml.SequenceNode {
		list := v.FieldByName("List")
		list.Set(reflect.MakeSlice(list.Type(), 0, len(n.Content))) // given, though it may be empty
		return d.list(n, path, list)
	}
	return d.scalar(n, path, v.FieldByName("Word"))
}

func (d decoder) list(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return true // a key with nothing below it is an empty list
	}
	if n.Kind == yaml.MappingNode && v.Type().Elem() == reflect.TypeFor[rawSyslog]() {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(n, path, e)
		v.Set(reflect.Append(v, e))
		return true
	}
	if n.Kind != yaml.SequenceNode {
		d.at(n.Line, path, "write a list: [a, b], or one '- ' line each", "a %s where a list is expected", kind(n))
		return false
	}
	for i, item := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(item, path+"["+strconv.Itoa(i)+"]", e)
		v.Set(reflect.Append(v, e)) // also if it is wrong: the indices of the others must stay right
	}
	return true
}

// table fills a map whose keys are names of the operator's choice.
func (d decoder) table(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return true
	}
	if n.Kind != yaml.MappingNode {
		d.at(n.Line, path, "write 'name: {...}' lines", "a %s where a mapping is expected", kind(n))
		return false
	}
	v.Set(reflect.MakeMap(v.Type()))
	for key, val := range d.pairs(n, path) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(val, join(path, key.Value), e)
		v.SetMapIndex(reflect.ValueOf(key.Value), e)
	}
	return true
}

func (d decoder) structure(n *yaml.Node, path string, v reflect.Value) bool {
	fields, short := fieldsOf(v)
	line := v.FieldByName("Line") // stays 0 in a struct that could not be read: its problem is reported already
	if n.Kind == yaml.ScalarNode && short.IsValid() {
		line.SetInt(int64(n.Line))
		return d.value(n, path, short)
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && path != "" {
		line.SetInt(int64(n.Line))
		return true
	}
	if n.Kind != yaml.MappingNode {
		d.at(n.Line, path, "write 'key: value' lines", "a %s where a mapping is expected", kind(n))
		return false
	}
	line.SetInt(int64(n.Line))
	for key, val := range d.pairs(n, path) {
		f, ok := fields[key.Value]
		if !ok {
			d.unknown(key, path, fields)
			continue
		}
		d.value(val, join(path, key.Value), f)
	}
	return true
}

// pairs yields the keys and values of a mapping and reports keys that come twice.
func (d decoder) pairs(n *yaml.Node, path string) func(func(key, val *yaml.Node) bool) {
	return func(yield func(key, val *yaml.Node) bool) {
		seen := make(map[string]int)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			if key.Kind != yaml.ScalarNode {
				d.at(key.Line, path, "write a plain name", "a %s where a key is expected", kind(key))
				continue
			}
			if first, ok := seen[key.Value]; ok {
				d.at(key.Line, join(path, key.Value), "keep one of them", "given twice, first in line %d", first)
				continue
			}
			seen[key.Value] = key.Line
			if !yield(key, val) {
				return
			}
		}
	}
}

func (d decoder) unknown(key *yaml.Node, path string, fields map[string]reflect.Value) {
	known := make([]string, 0, len(fields))
	best, distance := "", 3
	for k := range fields {
		known = append(known, k)
	}
	slices.Sort(known)
	for _, k := range known {
		if e := editDistance(key.Value, k); e < distance {
			best, distance = k, e
		}
	}
	wayOut := "known here: " + strings.Join(known, ", ")
	if best != "" {
		wayOut = "did you mean " + best + "?"
	}
	d.at(key.Line, join(path, shorten(key.Value)), wayOut, "unknown key")
}

func fieldsOf(v reflect.Value) (fields map[string]reflect.Value, short reflect.Value) {
	fields = make(map[string]reflect.Value)
	for i := range v.NumField() {
		tag, isShort := strings.CutSuffix(v.Type().Field(i).Tag.Get("yaml"), ",short")
		if tag == "" {
			continue
		}
		fields[tag] = v.Field(i)
		if isShort {
			short = v.Field(i)
		}
	}
	return fields, short
}
