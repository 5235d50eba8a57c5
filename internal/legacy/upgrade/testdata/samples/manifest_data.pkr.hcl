variable "v" {
  type    = string
  default = "1"
}

source "file" "file" {
  target  = "out"
  content = "x"
}

build {
  sources = ["source.file.file"]

  post-processor "manifest" {
    output     = "m.json"
    strip_path = true
    custom_data = {
      version   = var.v
      "has.dot" = build.ID
      "for"     = "x"
      "null"    = "y"
      "7"       = "z"
    }
  }
}

