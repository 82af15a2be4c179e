/* SPDX-License-Identifier: Apache-2.0 */
/* The program carrel-init, as bytes inside carrel: nothing to look up when it is needed. */
	.section .rodata
	.global init_image_start
	.global init_image_end
	.balign 16
init_image_start:
	.incbin INIT_IMAGE
init_image_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
