variable "name" {
  type    = string
  default = "x"
}

variable "padded" {
  type    = string
  default = "{{printf `%03d` 7}}"
}

variable "mixed" {
  type    = string
  default = null
}

variable "first" {
  type    = string
  default = "{{replace `a` `b` 1 `aaa`}}"
}

variable "braces" {
  type    = string
  default = "{{`{{`}} .X }}"
}

locals {
  mixed = var.mixed == null ? "{{printf `%q` (${jsonencode(var.name)})}}-${var.name}" : var.mixed
}

source "file" "file" {
  target  = "out"
  content = "${var.padded} ${local.mixed} ${var.first} ${var.braces}"
}

build {
  sources = ["source.file.file"]
}

