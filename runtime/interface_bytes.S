/* SPDX-License-Identifier: Apache-2.0 */
/* The interface's description, as text inside the program that answers for it. */
	.section .rodata
	.global interface_text_start
	.global interface_text_end
	.balign 16
interface_text_start:
	.incbin "tools/io.carrel.Pool.varlink"
interface_text_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
