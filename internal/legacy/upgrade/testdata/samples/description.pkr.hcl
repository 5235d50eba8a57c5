source "null" "null" {
  communicator = "none"
}

build {
  description = "Says $${hello} to \"you\".\nTwice {{not rendered}}."

  sources = ["source.null.null"]
}

