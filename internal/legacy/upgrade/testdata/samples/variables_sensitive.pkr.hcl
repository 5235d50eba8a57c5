variable "token" {
  type      = string
  default   = "hunter2hunter2"
  sensitive = true
}

variable "made" {
  type      = string
  default   = null
  sensitive = true
}

variable "need" {
  type      = string
  sensitive = true
}

local "made" {
  expression = var.made == null ? "t-${var.token}" : var.made
  sensitive  = true
}

source "file" "file" {
  target  = "out"
  content = "${local.made} ${var.need}"
}

build {
  sources = ["source.file.file"]
}

