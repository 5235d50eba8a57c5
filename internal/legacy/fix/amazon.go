package fix

import "ingot/internal/legacy/jsondoc"

var amazonShutdownBehavior = Fixer{
	Name:        "amazon-shutdown_behavior",
	Description: `Renames "shutdown_behaviour" to "shutdown_behavior" in amazon builders.`,
	Apply:       ofBuilders(prefixed("amazon-"), rename("shutdown_behaviour", "shutdown_behavior")),
}

var amazonEnhancedNetworking = Fixer{
	Name:        "amazon-enhanced-networking",
	Description: `Renames "enhanced_networking" to "ena_support" in amazon builders.`,
	Apply: ofBuilders(prefixed("amazon-"), func(b *jsondoc.Node) bool {
		v := b.Get("enhanced_networking")
		if !v.Is(jsondoc.Bool) && !v.Is(jsondoc.String) {
			return false
		}
		return b.Rename("enhanced_networking", "ena_support")
	}),
}

var amazonPrivateIP = Fixer{
	Name:        "amazon-private-ip",
	Description: `Replaces "ssh_private_ip" in amazon builders by "ssh_interface": "private_ip" or "public_ip".`,
	Apply: ofBuilders(prefixed("amazon-"), func(b *jsondoc.Node) bool {
		private, ok := truth(b.Get("ssh_private_ip"))
		if !ok {
			return false
		}
		network := "public_ip"
		if private {
			network = "private_ip"
		}
		replace(b, "ssh_private_ip", "ssh_interface", jsondoc.NewString(network))
		return true
	}),
}

var amazonSourceCIDRs = Fixer{
	Name:        "amazon-temp-sec-cidrs",
	Description: `Replaces "temporary_security_group_source_cidr" in amazon builders by the list "temporary_security_group_source_cidrs".`,
	Apply: ofBuilders(prefixed("amazon-"), func(b *jsondoc.Node) bool {
		const old = "temporary_security_group_source_cidr"
		v := b.Get(old)
		if !v.Is(jsondoc.String) {
			return false
		}
		replace(b, old, old+"s", jsondoc.NewArray(v))
		return true
	}),
}

var amazonSpotPriceProduct = Fixer{
	Name:        "spot-price-auto-product",
	Description: `Removes "spot_price_auto_product" from amazon builders, which find the product themselves.`,
	Apply:       ofBuilders(types("amazon-ebs", "amazon-ebssurrogate", "amazon-ebsvolume", "amazon-instance"), drop("spot_price_auto_product")),
}
