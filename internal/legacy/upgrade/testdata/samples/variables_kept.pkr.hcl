variable "name" {
  type    = string
  default = "x"
}

variable "padded" {
  type    = string
  default = null
}

variable "mixed" {
  type    = string
  default = null
}

variable "first" {
  type    = string
  default = null
}

variable "braces" {
  type    = string
  default = "{{`{{`}} .X }}"
}

locals {
  padded = var.padded == null ? "{{printf `%03d` 7}}" : var.padded
  mixed  = var.mixed == null ? "{{printf `%q` (${jsonencode(var.name)})}}-${var.name}" : var.mixed
  first  = var.first == null ? "{{replace `a` `b` 1 `aaa`}}" : var.first
}

source "file" "file" {
  target  = "out"
  content = "${local.padded} ${local.mixed} ${local.first} ${var.braces}"
}

build {
  sources = ["source.file.file"]
}

