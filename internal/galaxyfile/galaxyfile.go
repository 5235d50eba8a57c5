// Package galaxyfile reads requirements files of Ansible Galaxy as far as one
// has to know what kinds of things they ask for.
package galaxyfile

import (
	"errors"
	"fmt"

	"github.com/zclconf/go-cty-yaml"
)

// Kinds says whether a requirements file asks for roles and for collections:
// it is a list of roles, or an object with lists of both. One that asks for
// neither is an error.
func Kinds(text []byte) (roles, collections bool, err error) {
	ty, err := yaml.Standard.ImpliedType(text)
	if err != nil {
		return false, false, fmt.Errorf("not YAML: %w", err)
	}
	switch {
	case ty.IsTupleType():
		return true, false, nil
	case ty.IsObjectType():
		roles, collections = ty.HasAttribute("roles"), ty.HasAttribute("collections")
	}
	if !roles && !collections {
		return false, false, errors.New("there are neither roles nor collections in it")
	}
	return roles, collections, nil
}
