variable "price" {
  type    = string
  default = "$${cost} %%{if} \u0024$${x} 100% $"
}

variable "path" {
  type    = string
  default = "C:\\dir\\\"x\""
}

variable "tab" {
  type    = string
  default = "a\tb\u0001é😀"
}

source "file" "file" {
  target  = "out"
  content = "$${HOME} \u0024$${HOME} \u0024\u0024$${HOME} %%{x} \u0025%%{x} $ ${var.price} \u0024${var.path} \u0025${var.tab} $$ \u0024${var.tab}"
}

build {
  sources = ["source.file.file"]

  provisioner "shell-local" {
    inline           = ["echo $${HOME} \"$A\" 'b' \\ `date` $(x)"]
    environment_vars = ["A=$${B}"]
  }
}

