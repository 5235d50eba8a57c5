package fix

import "ingot/internal/legacy/jsondoc"

var scalewayAccessKey = Fixer{
	Name:        "scaleway-access-key",
	Description: `Renames "access_key" to "organization_id" in scaleway builders.`,
	Apply:       ofBuilders(types("scaleway"), rename("access_key", "organization_id")),
}

var azureExcludeFromLatest = Fixer{
	Name:        "azure-exclude_from_latest",
	Description: `Corrects the name "exlude_from_latest" in "shared_image_destination" of azure-chroot builders.`,
	Apply: ofBuilders(prefixed("azure-chroot"), func(b *jsondoc.Node) bool {
		destination := b.Get("shared_image_destination")
		return each(append(elements(destination), destination), rename("exlude_from_latest", "exclude_from_latest"))
	}),
}
