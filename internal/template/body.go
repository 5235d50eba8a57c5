package template

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/diag"
)

// Content reads a body by its schema, as hcl.Body.Content does, but says of an
// unexpected name what else could have been meant. What names the owner of the
// body for a sentence, such as `The builder "docker"`.
func Content(body hcl.Body, schema *hcl.BodySchema, what string) (*hcl.BodyContent, diag.List) {
	content, hclDiags := body.Content(schema)
	return content, explain(hclDiags, schema, what)
}

// explain turns findings about unexpected names into better ones.
func explain(in hcl.Diagnostics, schema *hcl.BodySchema, what string) diag.List {
	out := diag.FromHCL(in)
	for _, d := range out {
		switch d.Summary {
		case "Unsupported argument":
			d.Detail = unexpected(d.Detail, what, "argument", attributeNames(schema))
		case "Unsupported block type":
			d.Summary = "Unsupported block"
			d.Detail = unexpected(d.Detail, what, "block", blockNames(schema))
		case "Extraneous JSON object property":
			d.Summary = "Unsupported argument or block"
			d.Detail = unexpected(d.Detail, what, "argument or block", append(attributeNames(schema), blockNames(schema)...))
		}
	}
	return out
}

// unexpected words the finding. The library's own hint that an argument was
// written as a block, or the other way round, is kept.
func unexpected(detail, what, kind string, known []string) string {
	_, rest, _ := strings.Cut(detail, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	text := fmt.Sprintf("%s has no %s %q.", what, kind, name)
	if i := strings.Index(detail, "Did you mean to define"); i >= 0 {
		return text + " " + detail[i:]
	}
	if len(known) == 0 && kind == "argument" {
		return text + " Only blocks can stand here."
	}
	return text + diag.Suggest(name, kind+"s", known)
}

func attributeNames(s *hcl.BodySchema) []string {
	names := make([]string, len(s.Attributes))
	for i, a := range s.Attributes {
		names[i] = a.Name
	}
	return names
}

func blockNames(s *hcl.BodySchema) []string {
	names := make([]string, len(s.Blocks))
	for i, b := range s.Blocks {
		names[i] = b.Type
	}
	return names
}

func isNative(body hcl.Body) bool {
	_, ok := body.(*hclsyntax.Body)
	return ok
}

// HasDynamic reports whether a body may hold dynamic blocks at any depth. For
// JSON, where that cannot be seen without a schema, it is always true.
func HasDynamic(body hcl.Body) bool {
	if _, ok := body.(*legacyBody); ok {
		return false // legacy templates do not have them
	}
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		return true
	}
	for _, b := range native.Blocks {
		if b.Type == "dynamic" || HasDynamic(b.Body) {
			return true
		}
	}
	return false
}

// DynamicRefs lists what the collections and labels of the dynamic blocks in a
// build block refer to. Of a build in JSON that cannot be seen beforehand.
func (b *Build) DynamicRefs() []hcl.Traversal {
	native, ok := b.body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	return dynamicRefs(native, nil)
}

func dynamicRefs(body *hclsyntax.Body, out []hcl.Traversal) []hcl.Traversal {
	for _, block := range body.Blocks {
		if block.Type == "dynamic" {
			for _, name := range []string{"for_each", "labels"} {
				if a := block.Body.Attributes[name]; a != nil {
					out = append(out, a.Expr.Variables()...)
				}
			}
		}
		out = dynamicRefs(block.Body, out)
	}
	return out
}
