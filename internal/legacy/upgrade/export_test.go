package upgrade

// Shapes tells what is known of the settings of a component, "list", "map" or
// "block" by name. What is "builder", "provisioner" or "post-processor".
func Shapes(what, componentType string) map[string]string {
	of := map[string]func(string) shapes{
		"builder": builderShapes, "provisioner": provisionerShapes, "post-processor": postProcessorShapes,
	}[what]
	return kinds("", of(componentType))
}

func kinds(prefix string, known shapes) map[string]string {
	out := map[string]string{}
	for name, s := range known {
		switch s.kind {
		case aList:
			out[prefix+name] = "list"
		case aMap:
			out[prefix+name] = "map"
		case aBlock:
			out[prefix+name] = "block"
			for n, k := range kinds(prefix+name+".", s.nested) {
				out[n] = k
			}
		}
	}
	return out
}
