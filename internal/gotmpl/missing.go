package gotmpl

// NotSupplied is the text that stands for build data which templates share
// between builders that have it and builders that do not. Asking a builder for
// other data that it does not supply is a mistake: ok is false for it. The
// texts are Packer's; what runs with them shows in its output what is missing.
func NotSupplied(key string) (text string, ok bool) {
	switch key {
	case "ID":
		return "ERR_ID_NOT_IMPLEMENTED_BY_BUILDER", true
	case "PackerHTTPAddr":
		return "ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER", true
	case "PackerHTTPIP":
		return "ERR_HTTP_IP_NOT_IMPLEMENTED_BY_BUILDER", true
	case "PackerHTTPPort":
		return "ERR_HTTP_PORT_NOT_IMPLEMENTED_BY_BUILDER", true
	}
	return "", false
}
