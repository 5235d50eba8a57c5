package fix

import (
	"regexp"

	"ingot/internal/legacy/jsondoc"
)

// Repairs of the Go-template actions in the settings of builders.

var (
	createTimeAction  = regexp.MustCompile(`\{\{(-? *)\.CreateTime( *-?)\}\}`)
	action            = regexp.MustCompile(`\{\{.*?\}\}`)
	cleanNameFunction = regexp.MustCompile(`\bclean_(ami|image)_name\b`)
)

var createTime = Fixer{
	Name:        "createtime",
	Description: `Replaces {{.CreateTime}} by {{timestamp}} in "ami_name", "bundle_prefix" and "snapshot_name" of builders.`,
	Apply: ofBuilders(anyType, func(b *jsondoc.Node) bool {
		changed := false
		for _, key := range []string{"ami_name", "bundle_prefix", "snapshot_name"} {
			if old := b.Get(key); createTimeAction.MatchString(text(old)) {
				b.Set(key, jsondoc.NewString(createTimeAction.ReplaceAllString(old.Text, "{{${1}timestamp${2}}}")))
				changed = true
			}
		}
		return changed
	}),
}

var cleanImageName = Fixer{
	Name:        "clean-image-name",
	Description: `Replaces the template functions clean_image_name and clean_ami_name in builders by clean_resource_name.`,
	Apply: ofBuilders(anyType, func(b *jsondoc.Node) bool {
		changed := false
		b.Walk(func(n *jsondoc.Node) {
			if !n.Is(jsondoc.String) {
				return
			}
			fixed := action.ReplaceAllStringFunc(n.Text, func(a string) string {
				return cleanNameFunction.ReplaceAllString(a, "clean_resource_name")
			})
			if fixed != n.Text {
				n.Text, changed = fixed, true
			}
		})
		return changed
	}),
}
