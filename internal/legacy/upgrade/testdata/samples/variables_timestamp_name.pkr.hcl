variable "timestamp" {
  type    = string
  default = null
}

locals {
  timestamp_2 = rfc3339_parse(legacy_isotime()).unix
  timestamp   = var.timestamp == null ? legacy_isotime("2006") : var.timestamp
}

source "file" "file" {
  target  = local.timestamp
  content = "${local.timestamp_2}"
}

build {
  sources = ["source.file.file"]
}

